//! The tree under many random acts: whatever is done, the path is whole and the log tells the same.

mod support;

use apertis_chats::random::Random;
use apertis_chats::{ChatStore, Conversation, ConversationId, Draft, MessageId, Role};
use support::{answered, next, open};

#[test]
fn the_path_is_whole_whatever_is_done() {
    for seed in 0..6 {
        let home = tempfile::tempdir().unwrap();
        let store = open(home.path());
        let id = store.create(next("starter")).unwrap();
        let mut random = Random::new(seed);
        let mut deleted = Vec::new();
        for act in 0..60 {
            let before = store.get(&id).unwrap();
            let placed = act_once(&store, &id, &before, &mut random, &mut deleted);
            let after = store.get(&id).unwrap();
            check_tree(&after, placed, &format!("seed {seed}, act {act}"));
            check_nothing_lost(&before, &after);
        }
        let expected = (store.get(&id).unwrap(), store.card(&id).unwrap());
        let copy = store.copy(&id, None).unwrap();
        assert_eq!(texts(&store.get(&copy).unwrap()), texts(&expected.0), "seed {seed}");
        drop(store);
        let store = open(home.path());
        let found = (store.get(&id).unwrap(), store.card(&id).unwrap());
        for (found, expected) in found.0.messages.iter().zip(&expected.0.messages) {
            assert_eq!(found, expected, "seed {seed}");
        }
        assert!(found == expected, "seed {seed}: the log tells something else");
        assert_eq!(expected.0.damaged_lines, 0);
    }
}

/// Does something that fits; returns what has to be on the path then.
fn act_once(
    store: &ChatStore,
    id: &ConversationId,
    before: &Conversation,
    random: &mut Random,
    deleted: &mut Vec<MessageId>,
) -> Option<MessageId> {
    let visible: Vec<(MessageId, Role)> = before.visible().map(|message| (message.id, message.role)).collect();
    let Some((any, role)) = visible.get(random.below(visible.len())).copied() else {
        return Some(store.say(id, None, Draft::text("first")).unwrap());
    };
    let text = format!("text {}", random.below(1000));
    match random.below(7) {
        0 => Some(store.say(id, Some(any), Draft::text(text)).unwrap()),
        1 => Some(store.edit(id, any, Draft::text(text)).unwrap()),
        2 | 3 if role == Role::User => Some(answered(store, id, any, &text)),
        2 | 3 => {
            let again = store.rerun(id, any, None).unwrap();
            store.grow_answer(id, again, &text).unwrap();
            store.end_answer(id, again, support::done()).unwrap();
            Some(again)
        }
        4 if visible.len() > 5 => {
            store.delete_message(id, any).unwrap();
            deleted.push(any);
            assert!(store.get(id).unwrap().message(any).is_none());
            None
        }
        5 if !deleted.is_empty() => {
            let back = deleted.remove(random.below(deleted.len()));
            match store.restore_message(id, back) {
                Ok(()) => Some(back),
                Err(_) => {
                    // One before it is deleted; then it stays away.
                    deleted.push(back);
                    None
                }
            }
        }
        _ => {
            store.choose(id, any).unwrap();
            Some(any)
        }
    }
}

fn check_tree(conversation: &Conversation, placed: Option<MessageId>, at: &str) {
    let path = conversation.path();
    assert!(path.first().is_none_or(|first| first.parent.is_none()), "{at}");
    for pair in path.windows(2) {
        assert_eq!(pair[1].parent, Some(pair[0].id), "{at}");
    }
    let end = path.last().map(|message| message.id);
    assert!(conversation.children(end).is_empty(), "{at}: the path ends before a leaf");
    if let Some(placed) = placed {
        assert!(path.iter().any(|message| message.id == placed), "{at}: {placed} is not on the path");
    }
    for message in conversation.visible() {
        let siblings = conversation.siblings(message.id).unwrap();
        assert_eq!(siblings.ids[siblings.position - 1], message.id, "{at}");
        assert!(siblings.ids.is_sorted(), "{at}");
        let to = conversation.path_to(message.id);
        assert!(to[0].parent.is_none() && to[to.len() - 1].id == message.id, "{at}");
    }
    assert!(path.iter().all(|message| conversation.message(message.id).is_some()), "{at}");
}

/// Whole texts never change.
fn check_nothing_lost(before: &Conversation, after: &Conversation) {
    for old in &before.messages {
        let same = after.messages.iter().find(|message| message.id == old.id).unwrap();
        assert_eq!((&same.text, same.parent, same.role), (&old.text, old.parent, old.role));
    }
}

fn texts(conversation: &Conversation) -> Vec<(Role, &str)> {
    conversation.path().iter().map(|message| (message.role, message.text.as_str())).collect()
}
