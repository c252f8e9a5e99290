//! What has to be known of a program before it is sent to another machine, read from its ELF headers; and the
//! program without what only a debugger reads.
//!
//! Only 64-bit little-endian files; anything else is not a Linux program that unship is built as. All offsets are
//! checked: a file may say what it likes.

/// What a program needs of the machine that it runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needs {
    /// As `uname -m` says it.
    pub machine: &'static str,
    /// The newest version of the GNU C library of which it uses a symbol; none for a static program.
    pub glibc: Option<(u32, u32)>,
}

const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const SECTION_HEADER_BYTES: usize = 64;
/// Loadable segment (elf(5)).
const PT_LOAD: u32 = 1;
/// Versions that are needed of other libraries (elf(5)).
const SHT_GNU_VERNEED: u32 = 0x6fff_fffe;
/// The most libraries, and versions of one, that are looked at.
const VERSIONS_MAX: usize = 1_000;

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?)).ok()
}

/// Entries of a table: its offset and number are at these places of the header.
fn table(bytes: &[u8], offset_at: usize, count_at: usize, size: usize) -> Option<Vec<&[u8]>> {
    let offset = u64_at(bytes, offset_at)?;
    let count = u16_at(bytes, count_at)?;
    let rest = bytes.get(offset..)?;
    let entries: Vec<&[u8]> = rest.chunks_exact(size).take(count).collect();
    (entries.len() == count).then_some(entries)
}

/// What the program needs; nothing when it is no 64-bit little-endian ELF file.
pub(super) fn needs(bytes: &[u8]) -> Option<Needs> {
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let machine = match u16_at(bytes, 18)? {
        62 => "x86_64",
        183 => "aarch64",
        243 => "riscv64",
        21 => "ppc64le",
        22 => "s390x",
        _ => return None,
    };
    let sections = table(bytes, 40, 60, SECTION_HEADER_BYTES)?;
    let mut glibc = None;
    for section in &sections {
        if u32_at(section, 4)? != SHT_GNU_VERNEED {
            continue;
        }
        let content = content(bytes, section)?;
        let strings = sections.get(usize::try_from(u32_at(section, 40)?).ok()?)?;
        let strings = self::content(bytes, strings)?;
        for name in needed_versions(content)? {
            let version = text_at(strings, name).and_then(glibc_version);
            glibc = glibc.max(version);
        }
    }
    Some(Needs { machine, glibc })
}

fn content<'a>(bytes: &'a [u8], section: &[u8]) -> Option<&'a [u8]> {
    bytes.get(u64_at(section, 24)?..)?.get(..u64_at(section, 32)?)
}

/// The offsets of the names of all needed versions: a list of libraries, each with a list of versions.
fn needed_versions(content: &[u8]) -> Option<Vec<usize>> {
    let mut names = Vec::new();
    let mut library = 0_usize;
    for _ in 0..VERSIONS_MAX {
        let offset = |at: usize| usize::try_from(u32_at(content, at)?).ok();
        let mut version = library.checked_add(offset(library.checked_add(8)?)?)?;
        for _ in 0..VERSIONS_MAX {
            names.push(offset(version.checked_add(8)?)?);
            match offset(version.checked_add(12)?)? {
                0 => break,
                next => version = version.checked_add(next)?,
            }
        }
        match offset(library.checked_add(12)?)? {
            0 => return Some(names),
            next => library = library.checked_add(next)?,
        }
    }
    None
}

fn text_at(strings: &[u8], at: usize) -> Option<&str> {
    let rest = strings.get(at..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

/// `GLIBC_2.34` or `glibc 2.36`, as symbols and getconf(1) say it.
pub(super) fn glibc_version(text: &str) -> Option<(u32, u32)> {
    let number = text.strip_prefix("GLIBC_").or_else(|| text.strip_prefix("glibc "))?;
    let mut parts = number.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

/// The program up to the end of what is loaded: without sections that only a debugger reads. A debug build is
/// a third of itself afterwards. Whatever is no plain ELF file is left as it is.
pub(super) fn stripped(mut bytes: Vec<u8>) -> Vec<u8> {
    let Some(end) = loaded_end(&bytes) else { return bytes };
    bytes.truncate(end);
    // No table of sections any more: its offset, and the number, size and names of its entries (elf(5)).
    for range in [40..48, 58..64] {
        if let Some(field) = bytes.get_mut(range) {
            field.fill(0);
        }
    }
    bytes
}

fn loaded_end(bytes: &[u8]) -> Option<usize> {
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let headers = table(bytes, 32, 56, PROGRAM_HEADER_BYTES)?;
    let table_end = u64_at(bytes, 32)?.checked_add(headers.len() * PROGRAM_HEADER_BYTES)?;
    let mut end = table_end.max(HEADER_BYTES);
    let mut loads = false;
    for header in headers {
        loads |= u32_at(header, 0)? == PT_LOAD;
        // Every segment, not only those that are loaded: notes and the like may be looked for too.
        end = end.max(u64_at(header, 8)?.checked_add(u64_at(header, 32)?)?);
    }
    (loads && end <= bytes.len()).then_some(end)
}

#[cfg(test)]
#[path = "elf_tests.rs"]
mod tests;
