//! What is wrong with an option as written, and how to say so in one line.

use super::table::{Kind, Spec, TABLE};
use super::text::Text;

/// What is wrong with an option as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// There is no option of this name.
    UnknownKey,
    /// The option stands without a value but is not a flag.
    MissingValue,
    /// The value is not of the option's kind.
    BadValue,
    /// The value is of the option's kind but outside its range.
    OutOfRange,
}

/// An option that could not be taken as written. The value that stood before stands.
///
/// ```
/// use stratalloc_core::options::{Options, ProblemKind};
///
/// let problem = Options::default().set(b"misuse", b"crash").unwrap_err();
/// assert_eq!(problem.kind, ProblemKind::BadValue);
/// assert_eq!(
///     problem.line().as_str(),
///     "stratalloc: option 'misuse=crash' is not valid (abort|warn|ignore); the default abort stands\n",
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem<'a> {
    /// What is wrong.
    pub kind: ProblemKind,
    /// The key as written.
    pub key: &'a [u8],
    /// The value as written; empty where there is none.
    pub value: &'a [u8],
    /// Of an unknown key, the option with the nearest name, if one is near; else the option.
    pub option: Option<&'static Spec>,
    /// The raw value that stands; meaningless for a path and for an unknown key.
    pub(super) kept: u64,
}

impl Problem<'_> {
    /// One line for stderr, line end included. Text from outside is shortened and its unprintable
    /// bytes are escaped.
    pub fn line(&self) -> Text {
        let mut line = Text::new();
        line.push(b"stratalloc: option '");
        line.push_quoted(self.key);
        match (self.kind, self.option) {
            (ProblemKind::UnknownKey, nearest) | (_, nearest @ None) => {
                line.push(b"' is unknown");
                if let Some(spec) = nearest {
                    line.push(b"; did you mean '");
                    line.push(spec.name.as_bytes());
                    line.push(b"'?");
                }
            }
            (kind, Some(spec)) => {
                if kind != ProblemKind::MissingValue {
                    line.push(b"=");
                    line.push_quoted(self.value);
                }
                line.push(match kind {
                    ProblemKind::MissingValue => b"' needs a value (",
                    ProblemKind::OutOfRange => b"' is out of range (",
                    _ => b"' is not valid (",
                });
                line.push(spec.values().as_bytes());
                line.push(b")");
                self.push_kept(&mut line, spec);
            }
        }
        line.push(b"\n");
        line
    }

    fn push_kept(&self, line: &mut Text, spec: &Spec) {
        if spec.kind == Kind::Path {
            return;
        }
        line.push(if self.kept == spec.default { b"; the default " } else { b"; " });
        spec.push_value(line, self.kept);
        line.push(b" stands");
    }
}

/// Longest name that [`nearest`] compares.
pub(super) const NAME_MAX: usize = 16;

/// The option whose name is the fewest typing errors away from `key`, if they are few for a name
/// of that length. Case and `-` for `_` do not count as errors.
pub(super) fn nearest(key: &[u8]) -> Option<&'static Spec> {
    let mut best = None;
    for spec in &TABLE {
        let bound = (spec.name.len() / 3).max(1);
        let errors = distance(key, spec.name.as_bytes());
        if errors <= bound && best.is_none_or(|(least, _)| errors < least) {
            best = Some((errors, spec));
        }
    }
    best.map(|(_, spec)| spec)
}

/// Optimal string alignment: insertions, deletions, replacements and swaps of neighbours.
/// `usize::MAX` for text longer than [`NAME_MAX`].
fn distance(a: &[u8], b: &[u8]) -> usize {
    if a.len() > NAME_MAX || b.len() > NAME_MAX {
        return usize::MAX;
    }
    let fold = |byte: u8| if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
    // rows[0] is the row being filled, rows[1] the one above it, rows[2] the one above that.
    let mut rows = [[0usize; NAME_MAX + 1]; 3];
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        rows.rotate_right(1);
        rows[0][0] = i;
        for j in 1..=b.len() {
            let same = fold(a[i - 1]) == fold(b[j - 1]);
            let mut least = (rows[1][j] + 1).min(rows[0][j - 1] + 1).min(rows[1][j - 1] + usize::from(!same));
            let swapped = i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]);
            if swapped {
                least = least.min(rows[2][j - 2] + 1);
            }
            rows[0][j] = least;
        }
    }
    rows[0][b.len()]
}
