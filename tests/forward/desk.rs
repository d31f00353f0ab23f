//! A sender at work, without a node, a network or a clock: its looks and records go to a real store in
//! memory, its requests are answered by the test.

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use framelock::forward::{
    Answer, Content, Digest, Happened, Item, Outcome, Record, Report, Request, Sender, Settings,
    Status, Step,
};
use framelock::frame::Frame;
use framelock::frame::options::AppendOptions;
use framelock::platform::{Handles, MemoryFile};
use framelock::store::{AppendRequest, Mode, Os, Store};
use std::cell::Cell;
use std::sync::Arc;

struct CountingOs(Cell<u8>);

impl Os for CountingOs {
    fn random(&self, buffer: &mut [u8]) {
        self.0.set(self.0.get() + 1);
        buffer.fill(self.0.get());
    }
    fn epoch_ms(&self) -> i64 {
        0
    }
}

/// See the module.
pub struct Desk {
    pub store: Store,
    pub sender: Sender,
    pub now_ms: f64,
    /// The request that waits for its answer.
    pub asked: Option<(u32, Request)>,
    pub token_asked: Option<(u32, bool)>,
    pub told: Vec<Report>,
    pub cancelled: Vec<u32>,
    /// Records fail while this is set.
    pub storage_fails: bool,
}

impl Desk {
    pub fn new(settings: Settings) -> Desk {
        let mut store = Store::new(Box::new(CountingOs(Cell::new(0))));
        let handles = Handles {
            database: Box::new(MemoryFile::default()),
            journal: Box::new(MemoryFile::default()),
        };
        store.attach(handles, Mode::Exclusive, true).unwrap();
        Desk {
            store,
            sender: Sender::new(settings, 7),
            now_ms: 0.0,
            asked: None,
            token_asked: None,
            told: Vec::new(),
            cancelled: Vec::new(),
            storage_fails: false,
        }
    }

    /// Appends a frame of these numbers to a table, to be forwarded.
    pub fn append(&mut self, table: &str, numbers: &[i64]) {
        let column: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
        let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let request = AppendRequest {
            frame_id: format!("{table} {numbers:?}"),
            own_id: true,
            table: table.into(),
            options: AppendOptions::default(),
            content: framelock::store::Content::Frame(Frame::new(batch.schema(), vec![batch])),
            digest: [0; 16],
            forward: true,
        };
        self.store.append_group(&[&request]).unwrap().remove(0).unwrap();
    }

    /// Another file takes the place of this one.
    pub fn import(&mut self, bytes: Vec<u8>) {
        self.store.import_file(Box::new(MemoryFile::from(bytes))).unwrap();
        let steps = self.sender.begin_anew(self.now_ms);
        self.work(steps);
    }

    /// Does what the sender says, until it waits for the test.
    pub fn work(&mut self, steps: Vec<Step>) {
        let mut steps = std::collections::VecDeque::from(steps);
        let mut records: Vec<Record> = Vec::new();
        while let Some(step) = steps.pop_front() {
            match step {
                Step::Record(record) => records.push(record),
                Step::Look(look) => {
                    let page = self.store.look_at_outbox(&look).ok();
                    steps.extend(self.sender.looked(self.now_ms, page));
                }
                Step::Exchange { id, request } => {
                    assert!(self.asked.is_none(), "one exchange at a time");
                    self.asked = Some((id, request));
                }
                Step::Cancel { id } => {
                    self.cancelled.push(id);
                    self.asked = None;
                }
                Step::Token { id, refresh } => self.token_asked = Some((id, refresh)),
                Step::Tell(report) => self.told.push(report),
            }
            if steps.is_empty() && !records.is_empty() {
                let fails = self.storage_fails;
                let done = !fails && self.store.record_in_outbox(&records).is_ok();
                records.clear();
                steps.extend(self.sender.recorded(self.now_ms, done));
            }
        }
    }

    pub fn begin(&mut self) {
        let steps = self.sender.begin(self.now_ms);
        self.work(steps);
    }

    /// Frames came: tells the sender.
    pub fn frames(&mut self) {
        let steps = self.sender.frames_came(self.now_ms);
        self.work(steps);
        self.wait(100.0);
    }

    /// The caller calls; its next call is expected for so long.
    pub fn busy(&mut self, ms: f64) {
        self.sender.caller_is_busy(self.now_ms, self.now_ms + ms);
    }

    /// Time passes, and every timer fires on its way.
    pub fn wait(&mut self, ms: f64) {
        let end_ms = self.now_ms + ms;
        for turn in 0.. {
            assert!(turn < 10_000, "the sender wakes again and again");
            match self.sender.wake_at_ms() {
                Some(at_ms) if at_ms <= end_ms => self.now_ms = self.now_ms.max(at_ms) + 0.01,
                _ => break,
            }
            let steps = self.sender.advance(self.now_ms);
            self.work(steps);
            self.wakes_later();
        }
        self.now_ms = self.now_ms.max(end_ms);
        let steps = self.sender.advance(self.now_ms);
        self.work(steps);
        self.wakes_later();
    }

    /// A time that is past already would hide those that come.
    fn wakes_later(&self) {
        let at_ms = self.sender.wake_at_ms();
        assert!(at_ms.is_none_or(|at_ms| at_ms > self.now_ms), "{at_ms:?} at {}", self.now_ms);
    }

    /// The path of the request that waits, without the stream's id, the digest of the item before, and what was
    /// acknowledged.
    pub fn path(&self) -> &str {
        let (_, request) = self.asked.as_ref().expect("a request");
        let stream = self.status().stream.expect("a stream");
        let path = request.path.split_once(&*stream).expect("of this stream").1;
        path.split_once("&after=").or(path.split_once("?since=")).map_or(path, |(path, _)| path)
    }

    /// The digest of the item before, as the request that waits says it.
    pub fn after(&self) -> Option<Digest> {
        let (_, request) = self.asked.as_ref().expect("a request");
        let (_, after) = request.path.split_once("&after=")?;
        let digest = ["%3A:", "%3D=", "%2B+", "%2F/"]
            .iter()
            .fold(after.to_owned(), |text, code| text.replace(&code[..3], &code[3..]));
        Some(Digest::parse(&digest).expect("a digest"))
    }

    /// The numbers in the body of the request that waits.
    pub fn numbers(&self) -> Vec<i64> {
        let (_, request) = self.asked.as_ref().expect("a request");
        let frame = Frame::decode(request.body.clone().into()).unwrap();
        let columns = frame.batches.iter().map(|batch| batch.column(0).clone());
        let values = |column: ArrayRef| {
            column.as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec()
        };
        columns.flat_map(values).collect()
    }

    pub fn outcome(&mut self, outcome: Outcome) {
        let (id, _) = self.asked.take().expect("a request");
        let steps = self.sender.answered(self.now_ms, id, outcome);
        self.work(steps);
    }

    pub fn answer(&mut self, status: u16, body: &str) {
        self.outcome(Outcome::Answered(Answer { status, retry_after_ms: None, body: body.into() }));
    }

    /// The server says where it stands.
    pub fn stands(&mut self, status: u16, last_seq: i64, digest: Option<Digest>) {
        let digest = digest.map_or("null".to_owned(), |digest| format!("\"{}\"", digest.text()));
        let code = if status == 409 { r#""code":"SEQ_GAP","# } else { "" };
        self.answer(status, &format!("{{{code}\"last_seq\":{last_seq},\"last_digest\":{digest}}}"));
    }

    /// The server says where it stands, and which item it has as a skip: none, or this number.
    pub fn knows(&mut self, status: u16, last: i64, skip: Option<i64>) {
        let digest = |number| self.own_digest(number).text();
        let skip = skip.map(|seq| {
            format!(r#"{{"seq":{seq},"digest":"{}","code":"CONSTRAINT"}}"#, digest(seq))
        });
        let (code, skip) = (if status == 409 { "SEQ_GAP" } else { "" }, skip.unwrap_or_default());
        let last_digest = digest(last);
        let body = format!(
            r#"{{"code":"{code}","last_seq":{last},"last_digest":"{last_digest}","skipped":[{skip}]}}"#
        );
        self.answer(status, &body);
    }

    /// The server takes what was sent.
    pub fn takes(&mut self) {
        let (_, request) = self.asked.as_ref().expect("a request");
        let digest = Digest::parse(&request.item_digest);
        let path = request.path.split_once('?').expect("a table").0;
        let range = path.rsplit('/').next().expect("a range");
        let last = range.rsplit('-').next().unwrap().parse().unwrap();
        self.stands(201, last, digest);
    }

    pub fn token(&mut self, came: bool) {
        let (id, _) = self.token_asked.take().expect("a token is asked for");
        let steps = self.sender.token(self.now_ms, id, came);
        self.work(steps);
    }

    pub fn status(&self) -> Status {
        self.sender.status()
    }

    pub fn what_was_told(&mut self) -> Vec<Happened> {
        std::mem::take(&mut self.told).into_iter().map(|report| report.what).collect()
    }

    /// The digest of an own item that is a frame.
    pub fn digest(&self, number: i64) -> Digest {
        assert!(self.is_frame(number));
        self.own_digest(number)
    }

    /// Whether an own item is a frame, and not a skip.
    pub fn is_frame(&self, number: i64) -> bool {
        matches!(self.item(number).content, Content::Frame(_))
    }

    fn own_digest(&self, number: i64) -> Digest {
        self.item(number).digest()
    }

    fn item(&self, number: i64) -> Item {
        let look =
            framelock::forward::Look { after: Some(number - 1), items: 1, bytes: 0, kept: false };
        self.store.look_at_outbox(&look).unwrap().items.remove(0)
    }

    /// A sender that agrees with its server on nothing, with frames 1, 2, 3 … in table t.
    pub fn begun(frames: i64) -> Desk {
        let mut desk = Desk::new(Settings::default());
        for number in 1..=frames {
            desk.append("t", &[number]);
        }
        desk.begin();
        desk.stands(200, 0, None);
        desk
    }
}

/// The digest of what nobody sent.
pub fn other() -> Digest {
    Digest::of(b"something else")
}
