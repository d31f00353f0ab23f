//! Which columns of a query may come out of a compound `SELECT`: `UNION`, `INTERSECT`, `EXCEPT`, or
//! `VALUES` of several rows.
//!
//! SQLite says of which table's column a result column is. Of a compound it says so, too, but of one
//! of its branches, and the values are of all: seconds of one table beside milliseconds of another.
//! So what may come out of a compound has the type of its values. Better no type than a wrong one.
//!
//! Compounds are made by these four words and by nothing else, and SQLite takes them for nothing else
//! outside of quotes and comments (<https://www.sqlite.org/lang_keywords.html>). They are looked for
//! in the text and in the texts of all views that it may name. Where there are some, no column is
//! trusted, with three exceptions: a query that is a compound at its outermost level keeps the types in which
//! its branches agree, what follows `IN` or `EXISTS` gives no columns, and a common table
//! expression that lists its own (`n(i)`, as recursive ones do) is replaced by one of NULLs under the
//! same names: whatever has an origin in that statement has it from elsewhere.

use super::connection::Store;
use crate::error::Result;
use crate::frame::ident::fold;
use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

impl Store {
    /// The text of a query without its compounds; `None` when its columns may come out of one. That
    /// text is for [`rusqlite::Connection::prepare`] alone: it gives other rows.
    pub(super) fn without_compounds<'s>(
        &self,
        sql: &'s str,
        readonly: bool,
    ) -> Result<Option<Cow<'s, str>>> {
        let mut names = Vec::new();
        let Some(text) = without(if readonly { sql } else { returning(sql) }, &mut names) else {
            return Ok(None);
        };
        let views = self.views()?;
        let mut looked_at = vec![false; views.len()];
        // A view's text may name further views; there may be two of one name, one of them in `temp`.
        let mut at = 0;
        while let Some(name) = names.get(at).cloned() {
            at += 1;
            for ((view, sql), looked_at) in views.iter().zip(&mut looked_at) {
                if *view != name || std::mem::replace(looked_at, true) {
                    continue;
                }
                if !matches!(without(sql, &mut names), Some(Cow::Borrowed(_))) {
                    return Ok(None);
                }
            }
        }
        Ok(Some(text))
    }

    /// The folded names and the texts of all views.
    fn views(&self) -> Result<Rc<[(String, String)]>> {
        if let Some(views) = &self.known.borrow().views {
            return Ok(views.clone());
        }
        let views: Vec<(String, String)> = self.read(|conn| {
            conn.prepare_cached(
                "SELECT name, sql FROM sqlite_schema WHERE type = 'view'
                 UNION ALL SELECT name, sql FROM sqlite_temp_schema WHERE type = 'view'",
            )?
            .query_map([], |row| Ok((fold(&row.get::<_, String>(0)?), row.get(1)?)))?
            .collect()
        })?;
        let views: Rc<[(String, String)]> = views.into();
        self.known.borrow_mut().views = Some(views.clone());
        Ok(views)
    }
}

/// Whether there is nothing but spaces, comments and semicolons.
pub(super) fn is_empty(sql: &str) -> bool {
    let mut tokens = Tokens { text: sql, at: 0 };
    tokens.all(|(range, _)| &sql[range] == ";")
}

/// The branches of a query that is a compound at its outermost level; none of one that begins with `WITH` or has a
/// `VALUES` among them. What comes after the last (`ORDER BY`, `LIMIT`) is of none.
pub(super) fn branches(sql: &str) -> Vec<&str> {
    let (mut found, mut depth) = (Vec::new(), 0);
    let (mut start, mut end) = (0, sql.len());
    for (range, token) in (Tokens { text: sql, at: 0 }) {
        let Token::Word(word) = token else {
            match token {
                Token::Unclear => return Vec::new(),
                Token::Open => depth += 1,
                Token::Close => depth -= 1,
                _ => {}
            }
            continue;
        };
        match word.to_ascii_uppercase().as_str() {
            _ if depth > 0 => {}
            "WITH" | "VALUES" => return Vec::new(),
            "UNION" | "INTERSECT" | "EXCEPT" => {
                found.push(&sql[start..range.start]);
                start = range.end;
            }
            "ALL" if sql[start..range.start].trim().is_empty() => start = range.end,
            "ORDER" | "LIMIT" => {
                end = range.start;
                break;
            }
            _ => {}
        }
    }
    if !found.is_empty() {
        found.push(&sql[start..end]);
    }
    found
}

/// The part of a statement that writes which gives its columns: from `RETURNING` on. Its subqueries
/// see the common table expressions, so where there are some it is the whole.
fn returning(sql: &str) -> &str {
    let mut depth = 0;
    for (nth, (range, token)) in (Tokens { text: sql, at: 0 }).enumerate() {
        match token {
            Token::Word(word) if nth == 0 && word.eq_ignore_ascii_case("WITH") => return sql,
            Token::Word(word) if depth == 0 && word.eq_ignore_ascii_case("RETURNING") => {
                return &sql[range.end..];
            }
            Token::Open => depth += 1,
            Token::Close => depth -= 1,
            _ => {}
        }
    }
    sql
}

/// What the tokens before this one say of it.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Anything,
    /// `IN` or `EXISTS`.
    Filter,
    /// `VALUES`.
    Values,
    /// A row of `VALUES`.
    Row,
    /// A parenthesis with so many items.
    Items(usize),
    /// A parenthesis and `AS`: so begins a common table expression that lists its columns.
    ItemsAs(usize),
}

/// A parenthesis that is open; the first one is the whole text.
struct Group {
    start: usize,
    before: Before,
    compound: bool,
    commas: usize,
    /// How many names there were before it.
    names: usize,
}

impl Group {
    fn new(start: usize, before: Before, names: usize) -> Group {
        Group { start, before, compound: false, commas: 0, names }
    }
}

/// The text without the compounds that can be cut out; `None` when there are others. Adds what may be
/// the names of views, folded.
fn without<'s>(text: &'s str, names: &mut Vec<String>) -> Option<Cow<'s, str>> {
    let mut outer: Vec<Group> = Vec::new();
    let mut group = Group::new(0, Before::Anything, 0);
    let mut before = Before::Anything;
    let mut cuts: Vec<(Range<usize>, usize)> = Vec::new();
    for (range, token) in (Tokens { text, at: 0 }) {
        let preceding = std::mem::replace(&mut before, Before::Anything);
        match token {
            Token::Unclear => return None,
            Token::Open => {
                let open = Group::new(range.end, preceding, names.len());
                outer.push(std::mem::replace(&mut group, open));
            }
            Token::Close => {
                let closed = std::mem::replace(&mut group, outer.pop()?);
                before = Before::Items(closed.commas + 1);
                match closed.before {
                    Before::Filter => names.truncate(closed.names),
                    Before::ItemsAs(columns) if closed.compound => {
                        names.truncate(closed.names);
                        cuts.retain(|(cut, _)| cut.start < closed.start);
                        cuts.push((closed.start..range.start, columns));
                    }
                    Before::Values => {
                        before = Before::Row;
                        group.compound |= closed.compound;
                    }
                    _ => group.compound |= closed.compound,
                }
            }
            Token::Comma => {
                group.commas += 1;
                group.compound |= preceding == Before::Row;
            }
            Token::Word(word) => match word.to_ascii_uppercase().as_str() {
                "UNION" | "INTERSECT" | "EXCEPT" => group.compound = true,
                "IN" | "EXISTS" => before = Before::Filter,
                "VALUES" => before = Before::Values,
                "AS" => {
                    if let Before::Items(items) = preceding {
                        before = Before::ItemsAs(items);
                    }
                }
                "NOT" | "MATERIALIZED" if matches!(preceding, Before::ItemsAs(_)) => {
                    before = preceding;
                }
                _ => names.push(fold(word)),
            },
            Token::Name(name) => names.push(fold(&name)),
            Token::Other => {}
        }
    }
    if group.compound || !outer.is_empty() {
        return None;
    }
    let mut kept = Cow::Borrowed(text);
    for (range, columns) in cuts.into_iter().rev() {
        let nulls = format!("SELECT NULL{}", ",NULL".repeat(columns - 1));
        kept.to_mut().replace_range(range, &nulls);
    }
    Some(kept)
}

/// What SQL is made of, as far as it matters here (<https://www.sqlite.org/syntax/sql-stmt.html>).
#[derive(Debug, PartialEq)]
enum Token<'s> {
    Open,
    Close,
    Comma,
    /// A keyword, a name or a number.
    Word(&'s str),
    /// In any quotes: a name may be in those of a text.
    Name(String),
    /// Anything else.
    Other,
    /// A parameter with a parenthesis in its name.
    Unclear,
}

/// The tokens with their places; what is in comments is left out.
struct Tokens<'s> {
    text: &'s str,
    at: usize,
}

impl<'s> Tokens<'s> {
    fn rest(&self) -> &'s str {
        &self.text[self.at..]
    }

    fn skip_while(&mut self, matches: impl Fn(char) -> bool) {
        self.at += self.rest().len() - self.rest().trim_start_matches(matches).len();
    }

    /// To the end of what `end` ends, or of the text.
    fn skip_past(&mut self, end: &str) {
        let found = self.rest().find(end).map(|found| found + end.len());
        self.at += found.unwrap_or(self.rest().len());
    }

    fn skip_space_and_comments(&mut self) {
        loop {
            let before = self.at;
            // SQLite takes a byte order mark for a space.
            self.skip_while(|c| " \t\n\u{c}\r\u{feff}".contains(c));
            if self.rest().starts_with("--") {
                self.skip_past("\n");
            } else if self.rest().starts_with("/*") {
                self.at += 2;
                self.skip_past("*/");
            }
            if self.at == before {
                return;
            }
        }
    }

    /// What is in quotes, of which two stand for one.
    fn quoted(&mut self, quote: &str) -> Token<'s> {
        let mut name = String::new();
        loop {
            let start = self.at;
            self.skip_past(quote);
            let piece = &self.text[start..self.at];
            name += piece.strip_suffix(quote).unwrap_or(piece);
            if !self.rest().starts_with(quote) || quote == "]" {
                return Token::Name(name);
            }
            name += quote;
            self.at += quote.len();
        }
    }
}

fn is_in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

impl<'s> Iterator for Tokens<'s> {
    type Item = (Range<usize>, Token<'s>);

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_space_and_comments();
        let start = self.at;
        let first = self.rest().chars().next()?;
        self.at += first.len_utf8();
        let token = match first {
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '\'' => self.quoted("'"),
            '"' => self.quoted("\""),
            '`' => self.quoted("`"),
            '[' => self.quoted("]"),
            '?' => {
                self.skip_while(|c| c.is_ascii_digit());
                Token::Other
            }
            '$' | '@' | ':' | '#' => {
                self.skip_while(is_in_word);
                if self.rest().starts_with('(') { Token::Unclear } else { Token::Other }
            }
            first if is_in_word(first) => {
                self.skip_while(is_in_word);
                Token::Word(&self.text[start..self.at])
            }
            _ => Token::Other,
        };
        Some((start..self.at, token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    fn cut(sql: &str) -> Option<String> {
        without(sql, &mut Vec::new()).map(Cow::into_owned)
    }

    #[test]
    fn compounds_are_found_where_sqlite_finds_them() {
        // SQLite itself is asked: its limit on a compound's terms is set to one.
        let conn = rusqlite::Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE t(x, \"union\")").unwrap();
        // SAFETY: the handle is open.
        unsafe { ffi::sqlite3_limit(conn.handle(), ffi::SQLITE_LIMIT_COMPOUND_SELECT, 1) };
        for sql in [
            "SELECT x FROM t",
            "SELECT x, 'union', \"union\", [union], `union`, t.\"union\" FROM t -- union",
            "SELECT /* union */ 'it''s union' AS \"a\"\"union\" FROM t /* union",
            "SELECT x FROM t UNION SELECT 1",
            "SELECT 'x'UNION SELECT 1",
            "SELECT \"x\"\"\"UNION/**/SELECT 1",
            "SELECT[x]UNION SELECT 1 FROM t",
            "SELECT x'00'UNION SELECT 1",
            "SELECT (1)UNION SELECT 1",
            "SELECT ?1UNION SELECT 1",
            "SELECT -1--\nUNION SELECT 1",
            "SELECT 1/*/ union */ UNION SELECT 1",
            "SELECT 1 \u{feff}UNION SELECT 1",
            "SELECT x AS größe FROM t eXcEpT SELECT 1",
            "SELECT x$union FROM (SELECT x AS x$union FROM t)",
            "SELECT :union, @union, $union FROM t",
            "SELECT $a::b UNION SELECT 1",
            "SELECT 1 - -1 INTERSECT SELECT 1",
            "SELECT ':' UNION SELECT ':'",
        ] {
            let refused = conn.prepare(sql).err().map(|e| e.to_string());
            let compound = match &refused {
                None => false,
                Some(why) if why.contains("too many terms in compound") => true,
                Some(why) => panic!("{sql}: {why}"),
            };
            assert_eq!(cut(sql).is_none(), compound, "{sql}");
        }
    }

    #[test]
    fn what_gives_no_columns_is_left_or_cut_out() {
        let with = "WITH RECURSIVE a(x) AS (SELECT 1 UNION SELECT x FROM a), \
            b(\"y,\", z) AS NOT MATERIALIZED (SELECT (SELECT 1 UNION SELECT 2), 3) SELECT * FROM a";
        let nulls = "WITH RECURSIVE a(x) AS (SELECT NULL), \
            b(\"y,\", z) AS NOT MATERIALIZED (SELECT NULL,NULL) SELECT * FROM a";
        assert_eq!(cut(with).as_deref(), Some(nulls));
        for sql in [
            "SELECT x FROM t WHERE x IN (SELECT (SELECT 1 UNION SELECT 2) UNION SELECT 3)",
            "SELECT x FROM t WHERE NOT EXISTS(VALUES (1), (2)) OR (x, 1) NOT IN (VALUES (1, 2), (3, 4))",
            "SELECT x FROM t, (VALUES (1, 2)), t AS u",
            "SELECT sum(x) OVER w FROM t WINDOW w AS (PARTITION BY x ORDER BY (SELECT 1))",
        ] {
            assert_eq!(cut(sql).as_deref(), Some(sql));
        }
        for sql in [
            "VALUES (1), (2)",
            "SELECT * FROM (VALUES (1), (2))",
            "WITH a AS (SELECT 1 UNION SELECT 2) SELECT * FROM a",
            "SELECT (SELECT 1 UNION SELECT 2)",
            "SELECT $a(') UNION SELECT 1 --')",
            "SELECT (1",
        ] {
            assert_eq!(cut(sql), None, "{sql}");
        }
    }

    #[test]
    fn the_branches_of_an_outermost_compound() {
        let trimmed = |sql| branches(sql).into_iter().map(str::trim).collect::<Vec<_>>();
        assert_eq!(
            trimmed("select a from t union all select (b) from u ORDER BY 1 LIMIT 2"),
            ["select a from t", "select (b) from u"]
        );
        assert_eq!(
            trimmed("SELECT 1 EXCEPT SELECT ALL \"union\" FROM (SELECT 2 UNION SELECT 3) ;"),
            ["SELECT 1", "SELECT ALL \"union\" FROM (SELECT 2 UNION SELECT 3) ;"]
        );
        for sql in [
            "SELECT 1",
            "WITH a AS (SELECT 1) SELECT 1 UNION SELECT 2",
            "VALUES (1) UNION SELECT 1",
        ] {
            assert!(branches(sql).is_empty(), "{sql}");
        }
    }

    #[test]
    fn names_are_told_in_whatever_quotes() {
        let mut names = Vec::new();
        let sql = "SELECT A.\"b\"\"c\" FROM [D e] JOIN `F``` JOIN 'g' WHERE h IN (SELECT i FROM j)";
        assert!(without(sql, &mut names).is_some());
        for name in ["a", "b\"c", "d e", "f`", "g", "h"] {
            assert!(names.iter().any(|n| n == name), "{name} in {names:?}");
        }
        assert!(!names.iter().any(|n| n == "j"));
    }

    #[test]
    fn of_what_writes_only_the_returned_part_counts() {
        let part = |sql| returning(sql).trim();
        assert_eq!(part("INSERT INTO t(\"returning\") VALUES (1), (2) returning id"), "id");
        assert_eq!(part("UPDATE t SET a = (b) RETURNING a"), "a");
        let with = "WITH c AS (SELECT 1) DELETE FROM t RETURNING a";
        assert_eq!(part(with), with);
    }
}
