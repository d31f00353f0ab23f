//! What a log takes, keeps, and says after a power cut.

use super::*;

const PAGE: usize = 64;
/// The size of the database.
const SIZE: u64 = 4 * PAGE as u64;

fn append(redo: &mut Redo, file: &mut Vec<u8>, pages: &[(u64, u8)]) {
    redo.begin(SIZE);
    for (offset, fill) in pages {
        assert!(redo.batch().unwrap().take(&[*fill; PAGE], *offset));
    }
    let batch = redo.end_batch().unwrap();
    let entry = redo.entry(batch, |salt| salt.fill(file.len() as u8 + 1));
    file.truncate(entry.at as usize);
    file.extend_from_slice(&entry.bytes);
    redo.appended(&entry);
}

/// Three records, and where each ends.
fn log() -> (Redo, Vec<u8>, Vec<usize>) {
    let (mut redo, mut file, mut ends) = (Redo::default(), Vec::new(), Vec::new());
    for pages in [&[(0, 1), (64, 1)][..], &[(0, 2), (192, 2)], &[(0, 3)]] {
        append(&mut redo, &mut file, pages);
        ends.push(file.len());
    }
    (redo, file, ends)
}

/// The last word on each page.
fn said(log: &[u8]) -> Vec<(u64, u8)> {
    let last: std::collections::BTreeMap<_, _> = pages(log).into_iter().collect();
    last.into_iter().map(|(offset, page)| (offset, page[0])).collect()
}

/// What counts when so many records are whole.
const AFTER: [&[(u64, u8)]; 4] =
    [&[], &[(0, 1), (64, 1)], &[(0, 2), (64, 1), (192, 2)], &[(0, 3), (64, 1), (192, 2)]];

#[test]
fn the_last_word_on_each_page_counts() {
    let (mut redo, mut file, _) = log();
    assert_eq!(find(&file), Head::Whole);
    assert_eq!(said(&file), AFTER[3]);
    let unwritten = |redo: &Redo| -> Vec<_> {
        redo.unwritten().map(|(offset, page)| (offset, page[0])).collect()
    };
    assert_eq!(unwritten(&redo), AFTER[3]);
    redo.written();
    assert_eq!(unwritten(&redo), []);
    // What makes the database longer was written before the commit.
    append(&mut redo, &mut file, &[(0, 4), (192, 4), (SIZE, 4)]);
    assert_eq!(unwritten(&redo), [(0, 4), (192, 4)]);
}

#[test]
fn a_log_that_is_cut_anywhere_says_what_its_whole_records_say() {
    let (_, file, ends) = log();
    for end in 0..file.len() {
        let whole = ends.iter().filter(|at| **at <= end).count();
        assert_eq!(said(&file[..end]), AFTER[whole], "cut at {end}");
        let mut zeroed = file.clone();
        zeroed[end..].fill(0);
        assert_eq!(said(&zeroed), AFTER[whole], "zeros from {end}");
    }
}

#[test]
fn a_torn_byte_ends_the_log_at_its_record() {
    let (_, file, ends) = log();
    for at in 0..file.len() {
        let whole = if at < HEAD_BYTES { 0 } else { ends.iter().filter(|end| **end <= at).count() };
        let mut torn = file.clone();
        torn[at] ^= 0x80;
        assert_eq!(said(&torn), AFTER[whole], "byte {at}");
        let wanted = if at < HEAD_BYTES { Head::Absent } else { Head::Whole };
        assert_eq!(find(&torn), wanted, "byte {at}");
    }
}

#[test]
fn records_of_an_older_log_do_not_count() {
    let (_, old, ends) = log();
    let (mut redo, mut new) = (Redo::default(), vec![0; 100]);
    append(&mut redo, &mut new, &[(0, 7), (64, 7)]);
    assert_eq!(new.len(), ends[0]);
    new.extend_from_slice(&old[ends[0]..]);
    assert_eq!(said(&new), [(0, 7), (64, 7)]);
}

#[test]
fn a_newer_version_is_told_from_a_torn_head() {
    let (_, mut file, _) = log();
    file[MAGIC.len()] = 2;
    assert_eq!(find(&file), Head::Absent);
    let sum = checksum(&file[..HEAD_BYTES - SUM_BYTES]);
    file[HEAD_BYTES - SUM_BYTES..HEAD_BYTES].copy_from_slice(&sum);
    assert_eq!((find(&file), said(&file).len()), (Head::Newer, 0));
    assert_eq!(find(&EMPTIED), Head::Emptied);
    for none in [&b"flkre"[..], b"flkredo", &[0; 40]] {
        assert_eq!(find(none), Head::Absent);
    }
}

#[test]
fn what_is_too_large_or_of_other_pages_is_refused() {
    let (mut redo, ..) = log();
    let size = 1 << 30;
    redo.begin(size);
    let batch = redo.batch().unwrap();
    let first = batch.take(&[0; PAGE], 0);
    let taken = (0..).take_while(|at| batch.take(&[0; PAGE], at * PAGE as u64)).count();
    let max = LogLimits::default().record_bytes;
    assert!(first && (taken + 1) * (PAGE + 8) <= max && (taken + 3) * (PAGE + 8) > max);
    let batch = redo.end_batch().unwrap();
    assert!(!redo.takes(&batch));
    // Pages of another size than the log's; none that counts the commit.
    for (page, offset) in [(vec![0; 2 * PAGE], 0), (vec![0; PAGE], PAGE as u64)] {
        redo.begin(size);
        assert!(redo.batch().unwrap().take(&page, offset));
        let batch = redo.end_batch().unwrap();
        assert!(!redo.takes(&batch), "{offset}");
    }
}

#[test]
fn new_pages_that_are_too_many_pass_the_record() {
    let (mut redo, ..) = log();
    let (old, max) = (4 * PAGE as u64, LogLimits::default().new_bytes);
    for (new, passes) in [(old + max, false), (old + max + 1, true), (PAGE as u64, false)] {
        redo.begin(old);
        let batch = redo.batch().unwrap();
        batch.expect(new);
        assert!(batch.take(&[0; PAGE], 0) && !batch.passes(old - 1), "{new}");
        assert_eq!((batch.passes(old), batch.passes_new_pages()), (passes, passes), "{new}");
        let batch = redo.end_batch().unwrap();
        assert!(redo.takes(&batch), "{new}");
    }
    // All pages of an empty database are new, the first one too.
    redo.begin(0);
    let batch = redo.batch().unwrap();
    batch.expect(max + 1);
    assert!(!batch.passes(0) && !batch.passes_new_pages());
}

#[test]
fn reads_see_the_log_over_the_database() {
    let (redo, ..) = log();
    let database: Vec<u8> = (0..320).map(|at| 100 + (at / PAGE) as u8).collect();
    let now = [3, 1, 102, 2, 104];
    for offset in 0..database.len() {
        for length in [0, 1, 16, 63, 64, 65, 200] {
            let end = database.len().min(offset + length);
            let mut read = database[offset..end].to_vec();
            redo.cover(&mut read, offset as u64);
            let wanted: Vec<u8> = (offset..end).map(|at| now[at / PAGE]).collect();
            assert_eq!(read, wanted, "{offset}+{length}");
            if let Some(part) = redo.part(offset as u64, end - offset) {
                assert_eq!(part, wanted, "{offset}+{length}");
            }
        }
    }
    assert!(
        redo.part(8, 16).is_some() && redo.part(60, 8).is_none() && redo.part(128, 4).is_none()
    );
}

#[test]
fn a_log_is_stale_under_a_later_database_and_foreign_to_a_much_earlier_one() {
    let counted = |counts: [u32; 2]| {
        let mut page = vec![0; 512];
        for (at, count) in COUNTERS.into_iter().zip(counts) {
            page[at].copy_from_slice(&count.to_be_bytes());
        }
        page
    };
    let (first, last) = (counted([6, 6]), counted([7, 7]));
    let log = vec![(0, &first[..]), (8, &[][..]), (0, &last[..]), (8, &[][..])];
    let stands = |database| standing(&log, &counted(database));
    assert_eq!([[8, 8], [90, 90]].map(stands), [Standing::Stale, Standing::Stale]);
    let due = [[7, 7], [6, 6], [5, 5], [8, 7], [0x1ff, 7], [1, 7]];
    assert!(due.into_iter().all(|database| stands(database) == Standing::Due));
    assert_eq!([[4, 4], [1, 1]].map(stands), [Standing::Foreign, Standing::Foreign]);
    let wrapped = counted([u32::MAX, u32::MAX]);
    let wrapped = [(0, &wrapped[..])];
    assert_eq!(standing(&wrapped, &counted([0, 0])), Standing::Stale);
    assert_eq!(standing(&wrapped, &counted([u32::MAX - 2; 2])), Standing::Foreign);
    assert_eq!(standing(&log, b""), Standing::Due);
}
