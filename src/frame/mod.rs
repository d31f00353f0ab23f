//! The frame: Arrow in, SQLite values out, and back. Pure: no browser, no SQLite.
