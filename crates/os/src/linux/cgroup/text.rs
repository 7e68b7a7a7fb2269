//! The kernel's texts about cgroups, understood without allocation.
//!
//! Pure functions over bytes: any bytes, so whatever is in those files makes a value or none, never a
//! panic. The formats are those of proc(5), cgroups(7) and the kernel's cgroup-v1 and cgroup-v2 pages.

/// Largest limit that is taken for one: version 1 writes "no limit" as `i64::MAX` rounded down to pages.
const LARGEST: u64 = 1 << 60;

/// One line of `/proc/PID/cgroup`: `hierarchy:controllers:path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Membership<'a> {
    /// Version 2's one hierarchy (`0::path`).
    pub(super) unified: bool,
    controllers: &'a [u8],
    /// The process's cgroup below the hierarchy's root, as the process's cgroup namespace shows it.
    pub(super) path: &'a [u8],
}

impl<'a> Membership<'a> {
    /// What a line says; `None` for a line of another shape.
    pub(super) fn of_line(line: &'a [u8]) -> Option<Self> {
        let mut parts = line.splitn(3, |&byte| byte == b':');
        let (hierarchy, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let numbered = !hierarchy.is_empty() && hierarchy.iter().all(u8::is_ascii_digit);
        (numbered && path.first() == Some(&b'/')).then_some(Self {
            unified: hierarchy == b"0" && controllers.is_empty(),
            controllers,
            path,
        })
    }

    /// True if this hierarchy has the controller of that name.
    pub(super) fn controls(&self, name: &[u8]) -> bool {
        has_word(self.controllers, name)
    }
}

/// One line of `/proc/PID/mountinfo` that mounts a cgroup hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mount<'a> {
    /// The cgroup that the mount shows as its root; escaped.
    pub(super) root: &'a [u8],
    /// Where; escaped.
    pub(super) point: &'a [u8],
    /// Version 2.
    pub(super) unified: bool,
    options: &'a [u8],
}

impl<'a> Mount<'a> {
    /// What a line says; `None` for a mount of anything else.
    pub(super) fn of_line(line: &'a [u8]) -> Option<Self> {
        // ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG...] - TYPE SOURCE SUPER_OPTIONS
        let mut fields = line.split(|&byte| byte == b' ');
        let root = fields.nth(3)?;
        let point = fields.next()?;
        fields.find(|field| *field == b"-")?;
        let unified = match fields.next()? {
            b"cgroup" => false,
            b"cgroup2" => true,
            _ => return None,
        };
        let options = fields.nth(1)?;
        (root.first() == Some(&b'/') && point.first() == Some(&b'/')).then_some(Self {
            root,
            point,
            unified,
            options,
        })
    }

    /// True if it is version 1's hierarchy with the controller of that name.
    pub(super) fn controls(&self, name: &[u8]) -> bool {
        !self.unified && has_word(self.options, name)
    }
}

/// True if a list with commas has that word.
fn has_word(list: &[u8], word: &[u8]) -> bool {
    list.split(|&byte| byte == b',').any(|item| item == word)
}

/// The bytes of a mountinfo field: `\040` and the like stand for what would end the field.
pub(super) fn unescaped(field: &[u8]) -> impl Iterator<Item = u8> {
    let mut at = 0;
    core::iter::from_fn(move || {
        let byte = *field.get(at)?;
        let octal = |offset: usize| field.get(at + offset).filter(|digit| (b'0'..=b'7').contains(digit));
        if byte == b'\\'
            && let (Some(a), Some(b), Some(c)) = (octal(1), octal(2), octal(3))
        {
            at += 4;
            return Some((a - b'0').wrapping_mul(64).wrapping_add((b - b'0') * 8 + (c - b'0')));
        }
        at += 1;
        Some(byte)
    })
}

/// The part of `path` below the cgroup `root` that a mount shows; `None` when the mount does not show
/// that cgroup (it lies outside, or the namespace hides where).
pub(super) fn below<'a>(path: &'a [u8], root: &[u8]) -> Option<&'a [u8]> {
    let outside = |path: &[u8]| path.split(|&byte| byte == b'/').any(|part| part == b"..");
    if outside(path) || outside(root) {
        return None;
    }
    let rest = if root == b"/" { path } else { path.strip_prefix(root)? };
    match rest {
        b"/" => Some(b""),
        [] | [b'/', ..] => Some(rest),
        _ => None,
    }
}

/// A limit in bytes: `max`, a number, or anything else, which is no limit.
pub(super) fn bytes(text: &[u8]) -> Option<u64> {
    number(text.trim_ascii()).filter(|&bytes| bytes < LARGEST)
}

/// CPUs of a quota in microseconds a period, rounded up; `None` for no quota (`max`, -1) or nonsense.
pub(super) fn cpus(quota: &[u8], period: &[u8]) -> Option<u64> {
    let quota = number(quota.trim_ascii()).filter(|&quota| quota > 0)?;
    let period = number(period.trim_ascii()).filter(|&period| period > 0)?;
    Some(quota.div_ceil(period)).filter(|&cpus| cpus < LARGEST)
}

/// CPUs of version 2's `cpu.max`: `QUOTA PERIOD`, where the period may be missing.
pub(super) fn cpus_of_max(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    let mut words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let quota = words.next()?;
    cpus(quota, words.next().unwrap_or(b"100000"))
}

/// Decimal digits and nothing else; `u64::MAX` for more than that.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |number: u64, digit: &u8| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(text.iter().fold(0, add))
}
