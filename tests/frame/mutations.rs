//! The fuzz targets on seeded mutations, without a fuzzer: bytes flipped, lied about, cut, doubled
//! and taken from elsewhere, and JSON descriptors with other numbers and words.
//!
//! `FRAMELOCK_FUZZ_SECONDS=300 cargo test --test frame mutations` goes on for so long; a find names
//! its seed, and `FRAMELOCK_FUZZ_SEED=<seed>` repeats it.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::samples;

/// Cases of one target in an ordinary `cargo test`.
const CASES: u64 = 4_000;

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// A file of fixtures: names, IPC bytes, and, where there are any, a descriptor and buffers.
fn fixtures(bytes: &'static [u8], with_tables: bool) -> Vec<(&'static [u8], Vec<&'static [u8]>)> {
    let mut rest = bytes;
    let mut frames = Vec::new();
    let number = |rest: &mut &'static [u8]| {
        let (number, after) = rest.split_first_chunk::<4>().expect("a number");
        *rest = after;
        u32::from_le_bytes(*number) as usize
    };
    let part = |rest: &mut &'static [u8]| {
        let length = number(rest);
        let (part, after) = rest.split_at(length);
        *rest = after;
        part
    };
    while !rest.is_empty() {
        let (_, ipc) = (part(&mut rest), part(&mut rest));
        let mut table = Vec::new();
        if with_tables {
            table.push(part(&mut rest));
            let count = number(&mut rest);
            table.extend((0..count).map(|_| part(&mut rest)));
        }
        frames.push((ipc, table));
    }
    frames
}

/// Parts as the targets take them: each preceded by its length.
fn joined(parts: &[&[u8]]) -> Vec<u8> {
    let part = |part: &&[u8]| [&(part.len() as u32).to_le_bytes()[..], part].concat();
    parts.iter().flat_map(part).collect()
}

/// Flips, lies, cuts, doubles, and a piece of another.
fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut Rng) {
    for _ in 0..=rng.below(4) {
        let at = rng.below(bytes.len());
        let end = (at + 1 + rng.below(32)).min(bytes.len());
        match rng.below(9) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            3 => {
                let other = &others[rng.below(others.len())];
                let from = rng.below(other.len());
                let to = (from + rng.below(64)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            4 => {
                let lie = [0, 1, 7, 255, 1 << 16, 1 << 31, i64::MAX, -1, -8, i64::MIN];
                let lie = lie[rng.below(lie.len())].to_le_bytes();
                let at = at / 4 * 4;
                let end = (at + 4 + 4 * rng.below(2)).min(bytes.len());
                bytes[at..end].copy_from_slice(&lie[..end - at]);
            }
            5 if !bytes.is_empty() => bytes[at] = rng.next() as u8,
            _ if !bytes.is_empty() => bytes[at] ^= 1 << rng.below(8),
            _ => {}
        }
    }
}

/// Another number or word in a descriptor, which stays JSON most of the time.
fn mutate_json(json: &[u8], rng: &mut Rng) -> Vec<u8> {
    let text = String::from_utf8_lossy(json).into_owned();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut tokens: Vec<String> = Vec::new();
    for c in text.chars() {
        match tokens.last_mut() {
            Some(last) if is_word(c) && last.chars().all(is_word) => last.push(c),
            _ => tokens.push(c.into()),
        }
    }
    let numbers = ["0", "1", "2", "8", "63", "-1", "2147483648", "4294967296", "1e9", "null", "[]"];
    for _ in 0..=rng.below(3) {
        if tokens.is_empty() {
            break;
        }
        let (at, from) = (rng.below(tokens.len()), rng.below(tokens.len()));
        let digit = tokens.get(at).is_some_and(|t| t.starts_with(|c: char| c.is_ascii_digit()));
        match rng.below(8) {
            0 => drop(tokens.remove(at)),
            // A word for a word, a number for a number.
            _ if digit => tokens[at] = rng.pick(&numbers).to_owned(),
            _ => {
                let alike = tokens[from].chars().all(is_word) == tokens[at].chars().all(is_word);
                if alike {
                    tokens[at] = tokens[from].clone();
                }
            }
        }
    }
    tokens.concat().into_bytes()
}

/// Runs a target on what `case` makes of each seed, for the time or the number of cases asked for.
fn fuzz(name: &str, target: fn(&[u8]), case: impl Fn(&mut Rng) -> Vec<u8>) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let run = |seed: u64| {
        let bytes = case(&mut Rng(seed));
        if catch_unwind(AssertUnwindSafe(|| target(&bytes))).is_err() {
            let path = std::env::temp_dir().join(format!("framelock-{name}-{seed}"));
            std::fs::write(&path, &bytes).expect("a note of the bytes");
            panic!("{name}: FRAMELOCK_FUZZ_SEED={seed}; its bytes are in {}", path.display());
        }
    };
    if let Some(seed) = number("FRAMELOCK_FUZZ_SEED") {
        return run(seed);
    }
    let Some(seconds) = number("FRAMELOCK_FUZZ_SECONDS") else {
        return (0..CASES).for_each(run);
    };
    let (start, mut cases) = (Instant::now(), CASES);
    while start.elapsed() < Duration::from_secs(seconds) {
        (cases..cases + 100).for_each(run);
        cases += 100;
    }
    println!("{name}: {} cases in {seconds} s", cases - CASES);
}

const PYARROW: &[u8] = include_bytes!("fixtures/pyarrow.bin");
const RAW: &[u8] = include_bytes!("fixtures/raw.bin");
const PACKED: &[u8] = include_bytes!("fixtures/packed.bin");

/// What a fuzzer led by coverage found worth keeping.
#[test]
fn kept_inputs() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus");
    let targets = [("decode", targets::decode as fn(&[u8])), ("rows", targets::rows)];
    for (name, target) in targets {
        let files = std::fs::read_dir(format!("{corpus}/{name}")).expect("a corpus");
        let mut count = 0;
        for file in files {
            let path = file.expect("a file of the corpus").path();
            let bytes = std::fs::read(&path).expect("its bytes");
            let ran = catch_unwind(AssertUnwindSafe(|| target(&bytes)));
            assert!(ran.is_ok(), "{name}: {}", path.display());
            count += 1;
        }
        assert!(count > 300, "{name}: {count} inputs");
    }
}

#[test]
fn mutations_of_ipc_bytes() {
    let mut seeds: Vec<_> = samples::all().into_iter().map(|(_, bytes)| bytes).collect();
    seeds.extend(fixtures(PYARROW, false).into_iter().map(|(ipc, _)| ipc.to_vec()));
    seeds.extend(fixtures(RAW, true).into_iter().map(|(ipc, _)| ipc.to_vec()));
    fuzz("decode", targets::decode, |rng| {
        let mut bytes = seeds[rng.below(seeds.len())].clone();
        mutate(&mut bytes, &seeds, rng);
        bytes
    });
}

/// A mutated table of fixtures: its descriptor, its buffers, or both.
fn table_case(tables: &[Vec<&[u8]>], others: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> =
        tables[rng.below(tables.len())].iter().map(|part| part.to_vec()).collect();
    if rng.below(3) > 0 {
        parts[0] = mutate_json(&parts[0], rng);
    }
    if rng.below(3) == 0 {
        let at = rng.below(parts.len());
        mutate(&mut parts[at], others, rng);
    }
    joined(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn tables_of(bytes: &'static [u8]) -> (Vec<Vec<&'static [u8]>>, Vec<Vec<u8>>) {
    let tables: Vec<_> = fixtures(bytes, true).into_iter().map(|(_, table)| table).collect();
    let others = tables.iter().flatten().map(|part| part.to_vec()).collect();
    (tables, others)
}

#[test]
fn mutations_of_table_objects() {
    let (tables, others) = tables_of(RAW);
    fuzz("tables", targets::tables, |rng| table_case(&tables, &others, rng));
}

#[test]
fn mutations_of_plain_values() {
    let (tables, others) = tables_of(PACKED);
    fuzz("rows", targets::rows, |rng| {
        let choice = rng.next() as u8;
        [vec![choice], table_case(&tables, &others, rng)].concat()
    });
}

#[test]
fn mutations_of_texts_in_typed_columns() {
    let seeds = [
        "-0.01",
        "12345678901234567890.123456789",
        "-0044-03-15",
        "+12024-02-29T23:59:59.999999999+05:30",
        "12:34:56.000000001",
        "P-14M",
        "P-3DT0.500S",
        "P1M-2DT0.000000003S",
        r#"["1.00",null]"#,
        r#"[0.1,"NaN","-Infinity",-0.0]"#,
        r#"["2024-01-01T00:00:00Z",null]"#,
        r#"[-1,"9223372036854775807"]"#,
        r#"{"a":[["k\u0000\ud83d\ude00",1.5]],"é":"AAE=","d":"x"}"#,
        r#"[["9007199254740993",[true,null]]]"#,
    ];
    let seeds: Vec<_> = seeds.iter().map(|text| text.as_bytes().to_vec()).collect();
    fuzz("texts", targets::texts, |rng| {
        let mut bytes = seeds[rng.below(seeds.len())].clone();
        match rng.below(3) {
            0 => bytes = mutate_json(&bytes, rng),
            1 => mutate(&mut bytes, &seeds, rng),
            _ => {}
        }
        bytes.insert(0, rng.next() as u8);
        bytes
    });
}
