//! A table as it is, in the words in which the plan wants to know it.

use arrow::datatypes::Field;

/// What a name stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TableKind {
    /// An ordinary table.
    #[default]
    Table,
    /// A view: it has no rows of its own.
    View,
    /// A virtual table, or one that belongs to one.
    Virtual,
}

/// A table as it is now: the store reads it from `pragma_table_list`, `pragma_table_xinfo`,
/// `pragma_index_list` and the catalogue. The default is a table that does not exist.
#[derive(Debug, Clone, Default)]
pub struct TableState {
    /// Whether something has the name.
    pub exists: bool,
    /// The name, as it was spelled when it was given.
    pub name: String,
    /// What that is.
    pub kind: TableKind,
    /// Whether it was made with `STRICT`.
    pub strict: bool,
    /// Whether it was made with `WITHOUT ROWID`.
    pub without_rowid: bool,
    /// Whether its primary key has an index of its own, and so is not the row id.
    pub indexed_key: bool,
    /// Whether it has at least one row.
    pub has_rows: bool,
    /// Its columns, in order; hidden ones are left out, generated ones are not.
    pub columns: Vec<TableColumn>,
    /// The columns of each unique index that is neither partial nor on an expression.
    pub unique: Vec<Vec<String>>,
    /// What an index cannot be called, since something is; read with `unique`.
    pub taken: Vec<String>,
}

/// A column as it is now.
#[derive(Debug, Clone, Default)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// Its declared type, as it stands in the DDL; may be empty.
    pub declared: String,
    /// Whether it has `NOT NULL`.
    pub not_null: bool,
    /// Whether it has a `DEFAULT`.
    pub has_default: bool,
    /// Its place in the primary key, from 1; 0 when it is not in it.
    pub primary_key: u32,
    /// Whether it is computed.
    pub generated: bool,
    /// Its catalogue field, if that [can be about it](super::catalogue::applies).
    pub field: Option<Field>,
}

impl TableState {
    /// Whether a column is the row id itself: the one `INTEGER PRIMARY KEY` of a rowid table, unless
    /// that says `DESC` (<https://www.sqlite.org/lang_createtable.html#rowid>).
    pub fn is_row_id(&self, column: &TableColumn) -> bool {
        let keys = self.columns.iter().filter(|column| column.primary_key > 0);
        column.primary_key > 0
            && keys.count() == 1
            && !self.without_rowid
            && !self.indexed_key
            && column.declared.eq_ignore_ascii_case("INTEGER")
    }

    /// The names of the primary key's columns, in its order.
    pub fn primary_key(&self) -> Vec<String> {
        let nth = |nth| self.columns.iter().find(|column| column.primary_key == nth);
        (1..).map_while(nth).map(|column| column.name.clone()).collect()
    }
}
