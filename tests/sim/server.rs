//! The server that frames are forwarded to, as docs/forwarding.md says one behaves: it remembers, of each
//! stream, what came and where it ends. It may lose its last items, as an asynchronous replica that takes
//! over does; and somebody else may send under a stream's id, as a copied database file does.

use crate::rng::mix;
use arrow::array::{Array, Int64Array, StringArray};
use framelock::forward::{Answer, Digest, Method, Request};
use framelock::frame::Frame;
use std::collections::{BTreeMap, BTreeSet};

/// Requests of which the server remembers the digest; the next ones forget the first.
const LOGGED: usize = 6;

/// What the server has under a sequence number.
#[derive(Debug, Clone)]
struct Entry {
    digest: Digest,
    /// Frame ids with the numbers of their rows; none of a skip or of somebody else's item.
    frames: Vec<(String, u64)>,
    tables: Vec<String>,
    skipped: bool,
}

#[derive(Debug, Clone, Default)]
struct Stream {
    entries: Vec<Entry>,
    /// The last sequence number of a request, and whether the entries before it came with it.
    log: Vec<u64>,
    /// What the sender knew to be here, at most.
    known: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Server {
    /// In the order in which they began.
    streams: Vec<(String, Stream)>,
    /// Somebody else sent under a stream's id.
    pub forked: bool,
    /// It lost something. After that a copy may only send what comes in the place of that: one that goes on
    /// further than this sender ever was hides what was lost before it.
    rewound: bool,
    /// Frames that were here and were lost.
    pub lost: BTreeSet<String>,
    /// Of eight frames, so many are refused.
    refuses: u64,
    /// Frames that a copy of the database was refused, and gave up.
    pub given_up: BTreeSet<String>,
}

/// One row, as the server keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRow {
    pub stream: usize,
    pub table: String,
    pub frame: String,
    pub number: u64,
}

impl Server {
    /// A server without streams, that refuses so many frames of eight.
    pub fn that_refuses(refuses: u64) -> Server {
        Server { refuses, ..Server::default() }
    }

    /// Whether the server takes frames of this id.
    pub fn refuses(&self, frame: &str) -> bool {
        frame.bytes().fold(11, |seed, byte| mix(seed ^ u64::from(byte))) % 8 < self.refuses
    }

    /// Answers a request.
    pub fn answer(&mut self, request: &Request) -> Answer {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let parts: Vec<&str> = path.split('/').collect();
        match (request.method, &parts[..]) {
            (Method::Get, ["", "v1", "streams", stream]) => {
                let since = query.strip_prefix("since=").and_then(|since| since.parse().ok());
                let stands = self.stream(stream).stands(since.expect("since when"));
                respond(200, &format!("{{{stands}}}"))
            }
            (Method::Put, ["", "v1", "streams", stream, "frames", range]) => {
                let (from, to) = range.split_once('-').unwrap_or((range, range));
                let stream = (*stream).to_owned();
                match (from.parse(), to.parse()) {
                    (Ok(from), Ok(to)) if from >= 1 && from <= to => {
                        self.put(&stream, from, to, query, request)
                    }
                    _ => respond(400, r#"{"code":"BAD_SEQ"}"#),
                }
            }
            _ => respond(404, "{}"),
        }
    }

    fn put(&mut self, stream: &str, from: u64, to: u64, query: &str, request: &Request) -> Answer {
        if Digest::of(&request.body).text() != request.content_digest {
            return respond(400, r#"{"code":"DIGEST_MISMATCH"}"#);
        }
        let digest = Digest::parse(&request.item_digest).expect("a digest");
        let last = self.stream(stream).entries.len() as u64;
        let known = self.stream(stream);
        known.known = known.known.max(from - 1);
        if to <= last {
            let same = known.entries[to as usize - 1].digest == digest;
            if known.log.contains(&to) && !same {
                return respond(409, r#"{"code":"STREAM_FORKED"}"#);
            }
            return respond(200, &format!("{{{}}}", known.stands(from - 1)));
        }
        let follows = known.entries.last().is_none_or(|entry| {
            after_of(query).is_none_or(|after| after == percent_encoded(&entry.digest.text()))
        });
        if from != last + 1 || !follows {
            return respond(409, &format!("{{\"code\":\"SEQ_GAP\",{}}}", known.stands(from - 1)));
        }
        let table = query.split('&').next().unwrap_or_default();
        let skipped = query.contains("&skip=1");
        let mut entry = Entry { digest, frames: Vec::new(), tables: Vec::new(), skipped };
        if !skipped {
            for (frame, number) in rows_of(&request.body) {
                if self.refuses(&frame) {
                    return respond(422, r#"{"code":"REJECTED","reason":"CONSTRAINT"}"#);
                }
                entry.frames.push((frame, number));
                entry.tables.push(table.to_owned());
            }
        }
        self.given_up.retain(|frame| entry.frames.iter().all(|(applied, _)| applied != frame));
        let known = self.stream(stream);
        // The digests of the items before the last are not told; only their number is.
        let filler = Entry { frames: Vec::new(), tables: Vec::new(), ..entry.clone() };
        known.entries.extend((from..to).map(|_| filler.clone()));
        known.entries.push(entry);
        known.log.push(to);
        if known.log.len() > LOGGED {
            known.log.remove(0);
        }
        respond(201, &format!("{{{}}}", known.stands(to)))
    }

    fn stream(&mut self, name: &str) -> &mut Stream {
        let at = self.streams.iter().position(|(known, _)| known == name);
        let at = at.unwrap_or_else(|| {
            self.streams.push((name.to_owned(), Stream::default()));
            self.streams.len() - 1
        });
        &mut self.streams[at].1
    }

    /// Loses the last requests of the newest stream: a replica takes over that never had them.
    pub fn rewind(&mut self, requests: usize) {
        let Some((_, stream)) =
            self.streams.last_mut().filter(|_| !self.forked && self.given_up.is_empty())
        else {
            return;
        };
        self.rewound = true;
        for _ in 0..requests {
            stream.log.pop();
        }
        let last = stream.log.last().copied().unwrap_or(0) as usize;
        for entry in stream.entries.drain(last.min(stream.entries.len())..) {
            self.lost.extend(entry.frames.into_iter().map(|(frame, _)| frame));
        }
    }

    /// A copy of the database sends its own next item.
    pub fn fork(&mut self, noise: u64) {
        let rewound = self.rewound;
        let in_place = |stream: &Stream| (stream.entries.len() as u64) < stream.known;
        let Some((_, stream)) =
            self.streams.last_mut().filter(|(_, stream)| !rewound || in_place(stream))
        else {
            return;
        };
        self.forked = true;
        let digest = Digest::of(&noise.to_le_bytes());
        let (frames, tables) = (Vec::new(), Vec::new());
        stream.entries.push(Entry { digest, frames, tables, skipped: false });
        stream.log.push(stream.entries.len() as u64);
    }

    /// A copy of the database had the frame of this request in its outbox too, was refused it, and gave it up. Gives
    /// whether it did: the request must be about one frame, the next. Not in a world where the server loses items: a
    /// late repeat of the frame could come in the place of the skip.
    pub fn give_up(&mut self, request: &Request) -> bool {
        let (path, query) = request.path.split_once('?').unwrap_or_default();
        let ["", "v1", "streams", name, "frames", seq] = path.split('/').collect::<Vec<_>>()[..]
        else {
            return false;
        };
        let rewound = self.rewound;
        let stream = self.stream(name);
        let next = stream.entries.len() as u64 + 1;
        let follows = stream.entries.last().is_none_or(|entry| {
            after_of(query).is_none_or(|after| after == percent_encoded(&entry.digest.text()))
        });
        if rewound || seq.parse() != Ok(next) || query.contains("&skip=1") || !follows {
            return false;
        }
        let digest = Digest::parse(&request.item_digest).expect("a digest");
        let (frames, tables) = (Vec::new(), Vec::new());
        stream.entries.push(Entry { digest, frames, tables, skipped: true });
        stream.log.push(next);
        self.given_up.extend(rows_of(&request.body).into_iter().map(|(frame, _)| frame));
        true
    }

    /// Every row, in the order of streams and sequence numbers.
    pub fn rows(&self) -> Vec<ServerRow> {
        let mut rows = Vec::new();
        for (stream, (_, known)) in self.streams.iter().enumerate() {
            for entry in &known.entries {
                for ((frame, number), table) in entry.frames.iter().zip(&entry.tables) {
                    let (frame, table) = (frame.clone(), table.clone());
                    rows.push(ServerRow { stream, table, frame, number: *number });
                }
            }
        }
        rows
    }

    /// How many items were skipped, on all streams.
    pub fn skips(&self) -> usize {
        let entries = self.streams.iter().flat_map(|(_, stream)| &stream.entries);
        entries.filter(|entry| entry.skipped).count()
    }

    /// How many streams there are, and how many items.
    pub fn size(&self) -> BTreeMap<&str, usize> {
        self.streams.iter().map(|(name, stream)| (&**name, stream.entries.len())).collect()
    }
}

impl Stream {
    /// Where it ends, and the first item after `since` that was given up.
    fn stands(&self, since: u64) -> String {
        let mut later = self.entries.iter().enumerate().skip(since as usize);
        let skip = later.find(|(_, entry)| entry.skipped).map(|(at, entry)| {
            let digest = entry.digest.text();
            format!(r#"{{"seq":{},"digest":"{digest}","code":"CONSTRAINT"}}"#, at + 1)
        });
        let digest = self.entries.last().map(|entry| format!("\"{}\"", entry.digest.text()));
        let digest = digest.unwrap_or("null".to_owned());
        let (last_seq, skip) = (self.entries.len(), skip.unwrap_or_default());
        format!(r#""last_seq":{last_seq},"last_digest":{digest},"skipped":[{skip}]"#)
    }
}

/// The digest of the item before, as a request has it.
fn after_of(query: &str) -> Option<&str> {
    query.split('&').find_map(|part| part.strip_prefix("after="))
}

fn percent_encoded(digest: &str) -> String {
    digest.replace(':', "%3A").replace('=', "%3D").replace('+', "%2B").replace('/', "%2F")
}

fn respond(status: u16, body: &str) -> Answer {
    Answer { status, retry_after_ms: None, body: body.to_owned() }
}

/// The frame id and the row number of every row in a body.
fn rows_of(body: &[u8]) -> Vec<(String, u64)> {
    let frame = Frame::decode(body.to_vec().into()).expect("a well-formed body");
    let mut rows = Vec::new();
    for batch in &frame.batches {
        let ids = batch.column_by_name("f").expect("every frame has f").clone();
        let ids = ids.as_any().downcast_ref::<StringArray>().expect("text").clone();
        let numbers = batch.column_by_name("k").expect("every frame has k").clone();
        let numbers = numbers.as_any().downcast_ref::<Int64Array>().expect("integers").clone();
        for row in 0..batch.num_rows() {
            assert!(ids.is_valid(row), "a row without its frame's id");
            rows.push((ids.value(row).to_owned(), numbers.value(row) as u64));
        }
    }
    rows
}
