//! Reads the statistics that the library writes at exit (`stratalloc-report 1`).

use std::collections::BTreeMap;

/// One process's statistics.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Every `key value` line.
    pub figures: BTreeMap<String, u64>,
    /// Size classes in use, smallest first.
    pub classes: Vec<Class>,
}

/// One size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// Bytes of a block.
    pub size: u64,
    /// Blocks in the program's hands.
    pub live: u64,
    /// Blocks that the class's spans could hold.
    pub capacity: u64,
    /// Spans.
    pub spans: u64,
    /// Allocations since start, if they were counted.
    pub allocs: u64,
}

impl Report {
    /// Reads a report. Keys that this version does not know are kept; lines of unknown shape are
    /// passed over.
    ///
    /// # Errors
    /// What is wrong with it: not a report, of another version, or cut short.
    pub fn parse(text: &str) -> Result<Report, String> {
        let mut lines = text.lines();
        match lines.next() {
            Some("stratalloc-report 1") => {}
            Some(line) if line.starts_with("stratalloc-report ") => {
                return Err(format!("the library and this program are of different versions ({line})"));
            }
            None => return Err("the report is empty".to_owned()),
            Some(_) => return Err("the file is not a report".to_owned()),
        }
        let mut report = Report::default();
        for line in lines {
            if line == "end" {
                return Ok(report);
            }
            let (key, values) = line.split_once(' ').unwrap_or((line, ""));
            let values: Vec<u64> = values.split(' ').map_while(|value| value.parse().ok()).collect();
            match (key, &values[..]) {
                ("class", &[size, live, capacity, spans, allocs, ..]) => {
                    report.classes.push(Class { size, live, capacity, spans, allocs });
                }
                (_, &[value]) => {
                    report.figures.insert(key.to_owned(), value);
                }
                _ => {}
            }
        }
        Err("the report was cut short".to_owned())
    }

    /// A figure; 0 where the report has none.
    pub fn get(&self, key: &str) -> u64 {
        self.figures.get(key).copied().unwrap_or(0)
    }

    /// Allocations of all size classes; 0 if they were not counted.
    pub fn small_allocs(&self) -> u64 {
        self.classes.iter().map(|class| class.allocs).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_line_by_line() {
        let text = "stratalloc-report 1\nallocated 10\nnew_key 7\nodd line here\nclass 16 1 2 3 4\nclass 32 5 6 7 8\nend\n";
        let report = Report::parse(text).unwrap();
        assert_eq!((report.get("allocated"), report.get("new_key"), report.get("missing")), (10, 7, 0));
        assert_eq!(report.classes[0], Class { size: 16, live: 1, capacity: 2, spans: 3, allocs: 4 });
        assert_eq!(report.small_allocs(), 12);
    }

    #[test]
    fn what_is_no_whole_report_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "empty"),
            ("hello\n", "not a report"),
            ("stratalloc-report 2\nend\n", "different versions"),
            ("stratalloc-report 1\nallocated 10\n", "cut short"),
        ] {
            assert!(Report::parse(text).unwrap_err().contains(reason), "{text}");
        }
    }
}
