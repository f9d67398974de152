//! Chat templates and the spans found with them: `cargo xtask fuzz chat_template`.

#![no_main]

use apertis_tokenizer::{ChatTemplate, Message, TrainOn, trained_spans};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| {
    let Ok(template) = ChatTemplate::new(source, Some("<s>"), Some("</s>")) else { return };
    let talk = [("system", "s"), ("user", "u"), ("assistant", "é"), ("user", "v"), ("assistant", "b")];
    let talk = talk.map(|(role, content)| Message::text(role, content));
    for which in [TrainOn::AllAssistantTurns, TrainOn::LastTurn, TrainOn::Everything] {
        if let Ok((text, spans)) = trained_spans(&template, &talk, None, which) {
            let mut before = 0;
            for span in spans {
                assert!(before <= span.start && span.start <= span.end, "spans are in order");
                assert!(text.get(span.clone()).is_some(), "spans are of whole characters");
                before = span.end;
            }
        }
    }
});
