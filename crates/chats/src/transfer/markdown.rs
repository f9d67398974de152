//! Markdown that people read and that comes back as it was: each message stands after a comment that
//! names its role. A line of a message that looks like such a comment gets a backslash before it,
//! which Markdown does not show.

use super::Imported;
use crate::{ChatsError, Conversation, Message, MessageId, Role, Turn};

/// What the comments begin with.
const MARK: &str = "<!-- apertis:";

/// The path to a message, or the chosen one, with its title, its system text, and who answered.
pub fn export_markdown(conversation: &Conversation, up_to: Option<MessageId>) -> String {
    let title = conversation.title.iter().map(|title| format!("# {title}\n\n"));
    let mut text: String = title.chain([format!("Made {}\n\n", conversation.created)]).collect();
    let system = &conversation.next.settings.system;
    if !system.trim().is_empty() {
        add(&mut text, "system", "System", system);
    }
    let path = match up_to {
        Some(id) => conversation.path_to(id),
        None => conversation.path(),
    };
    for message in path.into_iter().filter(|message| message.answer.is_none() || !message.text.is_empty()) {
        add(&mut text, message.role.as_str(), &heading(message), &Turn::of(message).text);
    }
    text
}

/// Reads what [`export_markdown`] wrote.
///
/// # Errors
/// There is no comment that names a role, or one names an unknown role.
pub fn import_markdown(text: &str) -> Result<Imported, ChatsError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut imported = Imported { title: None, system: String::new(), turns: Vec::new(), skipped: Vec::new(), format: "markdown" };
    let mut lines = text.split('\n').peekable();
    let head: Vec<&str> = std::iter::from_fn(|| lines.next_if(|line| !line.starts_with(MARK))).collect();
    imported.title = head.iter().find_map(|line| line.strip_prefix("# ")).map(|title| title.trim_end().to_owned());
    while let Some(mark) = lines.next() {
        let role = read_mark(mark)?;
        let mut body: Vec<&str> = std::iter::from_fn(|| lines.next_if(|line| !line.starts_with(MARK))).collect();
        // The heading and an empty line before the text, an empty line after it.
        let framed = body.len() >= 3 && body[0].starts_with("## ") && body[1].trim_end().is_empty();
        if framed {
            body.drain(..2);
        }
        if body.last().is_some_and(|line| line.trim_end().is_empty()) && lines.peek().is_none() {
            body.pop();
        }
        if body.last().is_some_and(|line| line.trim_end().is_empty()) {
            body.pop();
        }
        let text = body.iter().map(|line| unescaped(line)).collect::<Vec<_>>().join("\n");
        if role == Role::System && imported.turns.is_empty() && imported.system.is_empty() {
            imported.system = text;
        } else if text.is_empty() {
            imported.skipped.push(format!("a message of role {}: it has no text", role.as_str()));
        } else {
            imported.turns.push(Turn::new(role, text));
        }
    }
    if imported.turns.is_empty() && imported.system.is_empty() {
        let message = format!("expected messages after lines like `{MARK}user -->`, found none");
        return Err(ChatsError::Import { message });
    }
    Ok(imported)
}

fn heading(message: &Message) -> String {
    match (message.role, &message.answer) {
        (Role::Assistant, Some(answer)) if !answer.model.name.is_empty() => {
            answer.model.label().chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
        }
        (Role::Assistant, _) => "Model".to_owned(),
        (Role::User, _) => "You".to_owned(),
        (Role::System, _) => "System".to_owned(),
        (Role::Tool, _) => "Tool".to_owned(),
    }
}

fn add(text: &mut String, role: &str, heading: &str, body: &str) {
    text.push_str(&format!("{MARK}{role} -->\n## {heading}\n\n"));
    for line in body.split('\n') {
        if line.trim_start_matches('\\').starts_with(MARK) {
            text.push('\\');
        }
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
}

fn unescaped(line: &str) -> &str {
    match line.strip_prefix('\\') {
        Some(rest) if rest.trim_start_matches('\\').starts_with(MARK) => rest,
        _ => line,
    }
}

fn read_mark(line: &str) -> Result<Role, ChatsError> {
    let name = line.strip_prefix(MARK).and_then(|rest| rest.trim_end().strip_suffix("-->")).unwrap_or_default().trim();
    let roles = [Role::System, Role::User, Role::Assistant, Role::Tool];
    roles.into_iter().find(|role| role.as_str() == name).ok_or_else(|| ChatsError::Import {
        message: format!("expected the role system, user, assistant or tool, found {:?}", line.chars().take(80).collect::<String>()),
    })
}
