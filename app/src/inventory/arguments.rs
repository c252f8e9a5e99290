//! Arguments of ssh in an inventory's variables: what says where a host is, is taken; what weakens or runs
//! something is refused; what only tunes a connection is left to unship.

use std::num::NonZeroU16;

use crate::config::{Account, HostTable, Jump, SshFile};
use crate::plain::plain;

/// Options that make no difference to where a session goes and as whom: unship has its own, or needs none.
const LEFT_ALONE: [&str; 16] = [
    "batchmode",
    "compression",
    "connectionattempts",
    "connecttimeout",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "forwardagent",
    "identitiesonly",
    "kbdinteractiveauthentication",
    "loglevel",
    "passwordauthentication",
    "preferredauthentications",
    "pubkeyauthentication",
    "serveralivecountmax",
    "serveraliveinterval",
];

/// A port.
pub(super) fn port(text: &str) -> Result<NonZeroU16, String> {
    text.parse().map_err(|_| format!("`{}` is no port", plain(text)))
}

/// Takes over what the arguments say of the way to a host.
pub(super) fn apply(text: &str, table: &mut HostTable) -> Result<(), String> {
    let mut words = words(text)?.into_iter();
    while let Some(word) = words.next() {
        let mut value = |attached: &str| match attached {
            "" => words.next().ok_or_else(|| format!("`{}` has no value", plain(&word))),
            attached => Ok(attached.to_owned()),
        };
        if let Some(attached) = word.strip_prefix("-o") {
            option(&value(attached)?, table)?;
        } else if let Some(attached) = word.strip_prefix("-J") {
            table.jump = Some(Jump::try_from(value(attached)?)?);
        } else if let Some(attached) = word.strip_prefix("-p") {
            table.port = Some(port(&value(attached)?)?);
        } else if let Some(attached) = word.strip_prefix("-l") {
            table.user = Some(Account::try_from(value(attached)?)?);
        } else if let Some(attached) = word.strip_prefix("-i") {
            table.identity = Some(SshFile::try_from(value(attached)?)?);
        } else if !matches!(word.as_str(), "-C" | "-T" | "-A" | "-a" | "-x" | "-q" | "-4" | "-6") {
            return Err(format!("the argument `{}` is not known", plain(&word)));
        }
    }
    Ok(())
}

fn option(text: &str, table: &mut HostTable) -> Result<(), String> {
    let (name, value) =
        text.split_once(['=', ' ']).ok_or_else(|| format!("`{}` has no value", plain(text)))?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
    let shown = format!("`{}={}`", plain(&name), plain(&value));
    match name.as_str() {
        "proxyjump" => table.jump = Some(Jump::try_from(value)?),
        "port" => table.port = Some(port(&value)?),
        "user" => table.user = Some(Account::try_from(value)?),
        "identityfile" => table.identity = Some(SshFile::try_from(value)?),
        // unship always checks strictly; only what would say otherwise is worth a word.
        "stricthostkeychecking" if matches!(value.as_str(), "yes" | "ask" | "accept-new") => {}
        "stricthostkeychecking" | "userknownhostsfile" | "globalknownhostsfile" | "checkhostip" => {
            return Err(format!("{shown} weakens the checking of host keys"));
        }
        "proxycommand" | "localcommand" | "permitlocalcommand" | "knownhostscommand" => {
            return Err(format!("{shown} runs a command on this machine"));
        }
        name if LEFT_ALONE.contains(&name) => {}
        _ => return Err(format!("the option {shown} is not known")),
    }
    Ok(())
}

/// Cuts arguments into words, as Ansible does with quotes of both kinds.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for char in text.chars() {
        match (quote, char) {
            (Some(open), char) if char == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t') => words.extend(word.take()),
            (None, '\\') => return Err("a backslash is not understood here".into()),
            (_, char) if char.is_control() => return Err("it holds a control character".into()),
            (_, char) => word.get_or_insert_default().push(char),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".into());
    }
    words.extend(word);
    Ok(words)
}
