//! Reads a database from its bytes, past all tabs: with the shipped store over a copy in memory.

use framelock::error::{Error, Result};
use framelock::platform::{File, Handles, MemoryFile};
use framelock::store::{Mode, Os, PackOptions, PackedRows, Params, Store};

/// A fixed clock and fixed bytes.
pub struct StillOs;

impl Os for StillOs {
    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(4);
    }

    fn epoch_ms(&self) -> i64 {
        1_700_000_000_000
    }
}

/// A copy of a database.
pub struct Image(pub Store);

impl Image {
    /// Opens a copy; a hot journal is played back first.
    pub fn open(database: &[u8], journal: &[u8]) -> Result<Image> {
        let copy = |bytes: &[u8]| {
            let mut file = MemoryFile::default();
            let _memory_suffices = file.write(bytes, 0);
            Box::new(file)
        };
        Image::over(Handles { database: copy(database), journal: copy(journal) })
    }

    /// Opens what these handles hold.
    pub fn over(handles: Handles) -> Result<Image> {
        let mut store = Store::new(Box::new(StillOs));
        store.attach(handles, Mode::Exclusive, true)?;
        Ok(Image(store))
    }

    /// The only column of a query's rows, as text.
    pub fn column(&mut self, sql: &str) -> Result<Vec<String>> {
        let mut rows = PackedRows::new(PackOptions::default());
        let count = self.0.query(sql, &Params::None, &mut rows)?;
        let Some(column) = rows.columns.first() else {
            return Ok(Vec::new());
        };
        if column.text_ends.len() as u64 != count {
            let message = format!("not one text per row: {sql}");
            return Err(Error::new(framelock::error::Code::Sql, message));
        }
        // All texts that the oracle asks for are ASCII: UTF-16 units are bytes.
        let mut start = 0;
        let ends = column.text_ends.iter().map(|end| *end as usize);
        Ok(ends
            .map(|end| {
                let text = String::from_utf8_lossy(&column.text[start..end]).into_owned();
                start = end;
                text
            })
            .collect())
    }

    /// What `PRAGMA integrity_check` finds; nothing when all is well.
    pub fn damage(&mut self) -> Result<Vec<String>> {
        let mut found = self.column("PRAGMA integrity_check")?;
        found.retain(|line| line != "ok");
        Ok(found)
    }
}
