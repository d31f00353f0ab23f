//! Rows that are held in columns as a SQLite database in memory, for SQLite to read
//! (<https://www.sqlite.org/fileformat2.html>).
//!
//! Page 1 has the schema, and each table a range of pages of its own, of which only those of the last
//! filled table are there: who reads them one after the other needs no more. A table is a root with leaves
//! under it, or a single leaf. No row has overflow pages; one that would is refused.
//!
//! ```
//! use framelock_image::{Bits, Column, Image, Rows, Values};
//!
//! let mut image = Image::new(1, |_| ("t".into(), "CREATE TABLE t(id, price REAL)".into())).unwrap();
//! let ids = Column::new(Values::I64(&[7, 8, 9]));
//! let prices = Column { nulls: Some(Bits::new(&[0b101], 0)), ..Column::new(Values::F64(&[0.5, 0., 2.])) };
//! let (rows, count) = Rows::encode(&[ids, prices], None, 0..3).unwrap();
//! assert_eq!(count, 3);
//! image.fill(0, rows);
//! let mut file = vec![0; image.bytes() as usize];
//! // Pages are read as SQLite asks for them; those that are not there are short.
//! assert_eq!(image.read(&mut file[..100], 0), 100);
//! assert!(file.starts_with(b"SQLite format 3\0"));
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod column;
mod leaf;
mod page;

pub use column::{Bits, Column, Source, Value, Values};
pub use leaf::{MOST_BYTES, Refused, RowIds, Rows};

use page::{FILE_HEADER, LEAF, PAGE_BYTES, Page};

/// Pages set aside for each table.
const TABLE_PAGES: u32 = 1 << 12;

/// A database of some tables of the same columns.
pub struct Image {
    schema: Vec<u8>,
    tables: u32,
    /// The table whose pages are there, and they.
    table: u32,
    pages: Vec<u8>,
}

impl Image {
    /// An image whose tables are still empty: as many as are wanted, or as fit the first page. `create` is
    /// given each one's number, from 0, and gives its name and its DDL. Nothing when not a single one
    /// fits.
    pub fn new(wanted: u32, create: impl Fn(u32) -> (String, String)) -> Option<Image> {
        let mut schema = vec![0; PAGE_BYTES];
        let mut page = Page::new(FILE_HEADER);
        let mut tables = 0;
        while tables < wanted {
            let (name, sql) = create(tables);
            let record = schema_record(&name, first_page(tables), &sql);
            if !page.push(&mut schema, i64::from(tables) + 1, &record) {
                break;
            }
            tables += 1;
        }
        if tables == 0 {
            return None;
        }
        page.finish(&mut schema, LEAF);
        schema[..FILE_HEADER].copy_from_slice(&file_header(first_page(tables) - 1));
        Some(Image { schema, tables, table: 0, pages: Vec::new() })
    }

    /// How many tables it has.
    pub fn tables(&self) -> u32 {
        self.tables
    }

    /// Puts rows into a table, and takes those of the others away.
    pub fn fill(&mut self, table: u32, rows: Rows) {
        self.table = table;
        self.pages = rows.finish(first_page(table));
    }

    /// Takes the rows away.
    pub fn empty(&mut self) {
        self.pages = Vec::new();
    }

    /// The size of the whole file in bytes.
    pub fn bytes(&self) -> u64 {
        u64::from(first_page(self.tables) - 1) * PAGE_BYTES as u64
    }

    /// Reads at an offset; gives how many bytes are there.
    pub fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let before = u64::from(first_page(self.table) - 1) * PAGE_BYTES as u64;
        let (pages, start) = match offset.checked_sub(before) {
            Some(start) => (&self.pages, start),
            None => (&self.schema, offset),
        };
        let rest = usize::try_from(start).ok().and_then(|start| pages.get(start..)).unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        count
    }
}

/// The number of a table's root; the first page of all is 1.
fn first_page(table: u32) -> u32 {
    2 + table * TABLE_PAGES
}

/// A table's row in `sqlite_schema` (<https://www.sqlite.org/schematab.html>).
fn schema_record(name: &str, root: u32, sql: &str) -> Vec<u8> {
    let text = |text: &str| 13 + 2 * text.len() as u64;
    // Its root is an integer of four bytes.
    const FOUR_BYTES: u64 = 4;
    let mut record = vec![0];
    for kind in [text("table"), text(name), text(name), FOUR_BYTES, text(sql)] {
        page::push_varint(&mut record, kind);
    }
    record[0] = record.len() as u8;
    for text in ["table", name, name] {
        record.extend_from_slice(text.as_bytes());
    }
    record.extend_from_slice(&root.to_be_bytes());
    record.extend_from_slice(sql.as_bytes());
    record
}

fn file_header(pages: u32) -> [u8; FILE_HEADER] {
    let mut header = [0; FILE_HEADER];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"SQLite format 3\0");
    // The page size, 65,536 as 1; written and read by way of a rollback journal; no bytes reserved; what a
    // payload may take.
    put(16, &[0, 1, 1, 1, 0, 64, 32, 32]);
    // The page count holds because the change counter, here and at 92, is the same.
    put(24, &1u32.to_be_bytes());
    put(28, &pages.to_be_bytes());
    put(40, &1u32.to_be_bytes());
    // The schema format; UTF-8.
    put(44, &4u32.to_be_bytes());
    put(56, &1u32.to_be_bytes());
    put(92, &1u32.to_be_bytes());
    // The first version that knows the format as it is.
    put(96, &3_007_000u32.to_be_bytes());
    header
}
