//! Requests and answers, as docs/forwarding.md has them.

use super::item::{Content, Digest, Item, joined};
use super::outbox::Refused;
use crate::json;
use serde::Deserialize;
use std::fmt::Write as _;

/// A stream of Arrow IPC.
const ARROW: &str = "application/vnd.apache.arrow.stream";
const JSON: &str = "application/json";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Put,
}

/// What to ask the server; the platform adds address, token and timeouts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    /// What follows the base URL, percent-encoded.
    pub path: String,
    pub content_type: &'static str,
    /// `Content-Digest`: of the body before any content coding.
    pub content_digest: String,
    /// `Framelock-Item-Digest`: of the last item's own bytes.
    pub item_digest: String,
    pub body: Vec<u8>,
    /// Whether the platform may compress the body.
    pub gzip: bool,
}

/// Where does the stream stand, and what was given up after this sequence number?
pub fn ask(stream: &str, since: i64) -> Request {
    Request {
        method: Method::Get,
        path: format!("/v1/streams/{stream}?since={since}"),
        content_type: "",
        content_digest: String::new(),
        item_digest: String::new(),
        body: Vec::new(),
        gzip: false,
    }
}

/// Items that go together, in order; at least one. `after` is the digest of the item before them, if there
/// is one: a server in which that one is another takes none of them.
///
/// It goes in the address. A server that does not know it passes over it there, and for a header across
/// origins it would have to say first that it allows it.
pub fn put(
    stream: &str,
    base: i64,
    items: &[&Item],
    after: Option<Digest>,
    gzip: bool,
) -> Option<(Request, Digest)> {
    let (first, last) = (items.first()?, items.last()?);
    let range = match (first.number - base, last.number - base) {
        (from, to) if from == to => from.to_string(),
        (from, to) => format!("{from}-{to}"),
    };
    let table = percent_encoded(&first.table);
    let mut path = format!("/v1/streams/{stream}/frames/{range}?table={table}");
    let item_digest = last.digest();
    let (content_type, body) = match &first.content {
        Content::Frame(_) => (ARROW, joined(items.iter().copied())),
        Content::Skip { digest, code } => {
            path += "&skip=1";
            let skip = serde_json::json!({ "digest": digest.text(), "code": code });
            (JSON, skip.to_string().into_bytes())
        }
    };
    if let Some(after) = after {
        path += "&after=";
        path += &percent_encoded(&after.text());
    }
    let alone = items.len() == 1 && content_type == ARROW;
    let content_digest = if alone { item_digest } else { Digest::of(&body) };
    let request = Request {
        method: Method::Put,
        path,
        content_type,
        content_digest: content_digest.text(),
        item_digest: item_digest.text(),
        body,
        gzip: gzip && content_type == ARROW,
    };
    Some((request, item_digest))
}

/// Everything but RFC 3986's unreserved characters.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _always = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// What came of an exchange.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// No answer came.
    Failed,
    Answered(Answer),
}

/// What the server said.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub retry_after_ms: Option<f64>,
    pub body: String,
}

/// The fields that an answer may have; servers may add others, and titles are for people.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fields {
    last_seq: Option<i64>,
    last_digest: Option<String>,
    skipped: Option<Vec<SkipFields>>,
    code: Option<String>,
    reason: Option<String>,
    title: Option<String>,
    column: Option<String>,
    row: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SkipFields {
    seq: i64,
    digest: String,
    code: String,
}

/// What the server says of skips among the items that it has, after the last one that is known to be there. A digest
/// does not tell: a skip has that of the item in whose place it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skips {
    /// It does not say, or does not know any more.
    Unknown,
    None,
    /// The first of them.
    First(Skip),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    pub seq: i64,
    pub digest: Digest,
    /// Why the item was refused.
    pub code: String,
}

/// Where the server's stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote {
    pub last_seq: i64,
    /// None only for a stream without items.
    pub digest: Option<Digest>,
}

/// An answer, understood.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The stream ends there: after a PUT, the items are in.
    Stands(Remote, Skips),
    /// There is a gap before the items, or they overlap with what is there.
    Gap(Remote, Skips),
    Forked,
    /// 401 or 403, by its code.
    Unauthorized(String),
    Refused(Refused),
    /// The digest does not fit the body: it was damaged on its way, or the server thinks so.
    Damaged(Refused),
    TooLarge(Refused),
    /// The content coding is not understood.
    Unsupported,
    /// It took the items, or misses some before them, and does not say what it has; or it is no server of ours.
    Unclear {
        after_ms: Option<f64>,
    },
    /// Later, perhaps.
    Later {
        reason: String,
        after_ms: Option<f64>,
    },
}

/// Whether a text has the form of the server's codes: `CONSTRAINT`, `VALUE_OUT_OF_RANGE`, …
fn is_code(text: &str) -> bool {
    let part = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(part)
}

impl Fields {
    fn skips(&self) -> Skips {
        match self.skipped.as_deref() {
            None => Skips::Unknown,
            Some([]) => Skips::None,
            Some([skip, ..]) => Digest::parse(&skip.digest).map_or(Skips::Unknown, |digest| {
                let code = if is_code(&skip.code) { &skip.code } else { "REJECTED" };
                Skips::First(Skip { seq: skip.seq, digest, code: code.to_owned() })
            }),
        }
    }
}

impl Answer {
    /// What it means.
    pub fn verdict(&self) -> Verdict {
        let fields: Fields = json::read(self.body.as_bytes()).unwrap_or_default();
        let code = |default: &str| fields.code.clone().unwrap_or_else(|| default.to_owned());
        let later = |reason: String| Verdict::Later { reason, after_ms: self.retry_after_ms };
        // It goes into a skip, too, which a server may be strict about.
        let reason =
            [&fields.reason, &fields.code].into_iter().flatten().find(|code| is_code(code));
        let refused = |default: &str| Refused {
            code: reason.cloned().unwrap_or_else(|| default.to_owned()),
            title: fields.title.clone(),
            column: fields.column.clone(),
            row: fields.row,
        };
        let remote = fields.last_seq.filter(|seq| *seq >= 0).and_then(|last_seq| {
            let digest = fields.last_digest.as_deref().and_then(Digest::parse);
            (digest.is_some() || last_seq == 0).then_some(Remote { last_seq, digest })
        });
        match (self.status, remote, fields.code.as_deref()) {
            // What was written just now is what was sent.
            (201, Some(remote), _) => Verdict::Stands(remote, Skips::Unknown),
            (200, Some(remote), _) => Verdict::Stands(remote, fields.skips()),
            (409, Some(remote), Some("SEQ_GAP")) => Verdict::Gap(remote, fields.skips()),
            (409, _, Some("STREAM_FORKED")) => Verdict::Forked,
            (401, ..) => Verdict::Unauthorized(code("UNAUTHENTICATED")),
            (403, ..) => Verdict::Unauthorized(code("FORBIDDEN")),
            (400, _, Some("DIGEST_MISMATCH")) => Verdict::Damaged(refused("DIGEST_MISMATCH")),
            // Of a gateway before the server it says nothing about the rows.
            (400, ..) if reason.is_none() => later("HTTP_400".into()),
            (400, ..) => Verdict::Refused(refused("BAD_REQUEST")),
            (422, ..) => Verdict::Refused(refused("REJECTED")),
            (413, ..) => Verdict::TooLarge(refused("TOO_LARGE")),
            (415, ..) => Verdict::Unsupported,
            (200 | 201, ..) | (409, None, Some("SEQ_GAP")) => {
                Verdict::Unclear { after_ms: self.retry_after_ms }
            }
            (status, ..) => later(format!("HTTP_{status}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(number: i64, content: Content) -> Item {
        Item { number, table: "näme/?&".into(), rows: 1, content }
    }

    #[test]
    fn a_single_item_is_put_under_its_sequence_number() {
        let item = item(7, Content::Frame(b"rows".to_vec()));
        let (request, digest) = put("s", 4, &[&item], None, true).unwrap();
        assert_eq!(request.path, "/v1/streams/s/frames/3?table=n%C3%A4me%2F%3F%26");
        assert_eq!(digest, Digest::of(b"rows"));
        assert_eq!(request.content_digest, digest.text());
        assert_eq!(request.item_digest, digest.text());
        assert!(request.gzip && request.body == b"rows");
        let (request, _) = put("s", 4, &[&item], Some(Digest([0; 32])), true).unwrap();
        let after = "&after=sha-256%3D%3AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%3D%3A";
        assert!(request.path.ends_with(after), "{}", request.path);
    }

    #[test]
    fn a_skip_says_what_is_skipped_and_why() {
        let digest = Digest::of(b"rows");
        let skip = item(1, Content::Skip { digest, code: "CONSTRAINT".into() });
        let (request, recorded) = put("s", 0, &[&skip], None, true).unwrap();
        assert!(request.path.ends_with("&skip=1") && !request.gzip);
        assert_eq!((request.content_type, recorded), ("application/json", digest));
        assert_eq!(request.content_digest, Digest::of(&request.body).text());
        let body = String::from_utf8(request.body).unwrap();
        assert_eq!(body, format!(r#"{{"digest":"{}","code":"CONSTRAINT"}}"#, digest.text()));
    }

    #[test]
    fn answers_are_understood_and_nonsense_is_for_later() {
        let verdict = |status, body: &str| {
            Answer { status, retry_after_ms: Some(7.0), body: body.into() }.verdict()
        };
        let digest = Digest::of(b"");
        let stands = format!(r#"{{"last_seq":3,"last_digest":"{}","rows":9}}"#, digest.text());
        let remote = Remote { last_seq: 3, digest: Some(digest) };
        assert_eq!(verdict(201, &stands), Verdict::Stands(remote, Skips::Unknown));
        let skipped =
            |list: &str| verdict(200, &stands.replace("}", &format!(",\"skipped\":{list}}}")));
        assert_eq!(skipped("[]"), Verdict::Stands(remote, Skips::None));
        let list = format!(r#"[{{"seq":2,"digest":"{}","code":"CONSTRAINT"}}]"#, digest.text());
        let first = Skips::First(Skip { seq: 2, digest, code: "CONSTRAINT".into() });
        assert_eq!(skipped(&list), Verdict::Stands(remote, first));
        for unknown in ["null", "[{}]", r#"[{"seq":2,"digest":"x","code":"A"}]"#] {
            assert_eq!(skipped(unknown), Verdict::Stands(remote, Skips::Unknown), "{unknown}");
        }
        let none = r#"{"last_seq":0,"last_digest":null}"#;
        assert_eq!(
            verdict(200, none),
            Verdict::Stands(Remote { last_seq: 0, digest: None }, Skips::Unknown)
        );
        let gap = r#"{"code":"SEQ_GAP","last_seq":0,"last_digest":null}"#;
        assert!(matches!(verdict(409, gap), Verdict::Gap(..)));
        assert_eq!(verdict(409, r#"{"code":"STREAM_FORKED"}"#), Verdict::Forked);
        assert_eq!(verdict(401, "<html>"), Verdict::Unauthorized("UNAUTHENTICATED".into()));
        let refusal = r#"{"code":"REJECTED","reason":"CONSTRAINT","column":"a","row":4}"#;
        let Verdict::Refused(refused) = verdict(422, refusal) else { panic!() };
        assert_eq!((&*refused.code, refused.row), ("CONSTRAINT", Some(4)));
        let Verdict::Refused(refused) = verdict(422, r#"{"code":"no-good"}"#) else { panic!() };
        assert_eq!(refused.code, "REJECTED", "a skip with another code would be refused");
        let bad = [(200, "{}"), (200, r#"{"last_seq":3}"#), (200, r#"{"last_seq":-1}"#)];
        for (status, body) in bad {
            let unclear = Verdict::Unclear { after_ms: Some(7.0) };
            assert_eq!(verdict(status, body), unclear, "{body}");
        }
        for (status, reason) in [(503, "HTTP_503"), (404, "HTTP_404"), (409, "HTTP_409")] {
            assert!(
                matches!(verdict(status, "{}"), Verdict::Later { reason: r, .. } if r == reason)
            );
        }
        for gateway in ["<html>", r#"{"code":"bad-request"}"#] {
            assert!(matches!(verdict(400, gateway), Verdict::Later { .. }), "{gateway}");
        }
        assert!(matches!(verdict(400, r#"{"code":"BAD_REQUEST"}"#), Verdict::Refused(_)));
    }
}
