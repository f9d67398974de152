//! Runs whose end moves: by a time limit, by a person, and with a stop in between.

mod support;

use apertis_domain::EventKind;
use apertis_domain::event::{RunFinished, ScheduleReplanned};
use support::Rig;

/// Half a minute of work: some 270 steps where the data has thousands.
const LIMITED: [&str; 2] = ["epochs=100", "time_limit_minutes=0.5"];

fn finished(rig: &Rig, ending: &EventKind) -> RunFinished {
    match ending {
        EventKind::RunFinished(finished) => finished.clone(),
        other => panic!("{other:?} after {} events", rig.events.len()),
    }
}

#[test]
fn a_time_limit_leaves_ten_evaluations_and_one_at_the_last_step() {
    let mut rig = Rig::new();
    let recipe = rig.recipe(&LIMITED);
    let outcome = rig.train(&recipe, None).expect("it trains");
    let finished = finished(&rig, &outcome.ending);
    let evaluated = rig.evaluated();
    assert_eq!(finished.reason, "time_limit");
    assert!(evaluated.len() >= 10, "{evaluated:?}");
    assert_eq!(evaluated.last(), Some(&finished.steps));
    assert!(finished.eval_loss.is_finite() && finished.steps > 200, "{finished:?}");
    let limit_ms = 30_000;
    assert!((limit_ms * 9 / 10..=limit_ms * 102 / 100).contains(&rig.elapsed_ms()), "{} ms", rig.elapsed_ms());
    // Saved is what was judged last.
    assert!(rig.last().ends_with(format!("step-{}", finished.steps)));
}

#[test]
fn a_stop_between_evaluations_changes_none_of_them() {
    let mut whole = Rig::new();
    let recipe = whole.recipe(&LIMITED);
    whole.train(&recipe, None).expect("it trains");
    for stop in [5, 30, 101, 202] {
        let mut stopped = Rig::new();
        let recipe = stopped.recipe(&LIMITED);
        stopped.train(&recipe, Some(stop)).expect("it trains");
        assert_eq!(stopped.losses().len() as u64, stop);
        stopped.train(&recipe, None).expect("it goes on");
        assert_eq!(stopped.evaluated(), whole.evaluated(), "stopped after step {stop}");
        assert!(stopped.losses() == whole.losses(), "stopped after step {stop}: the losses differ");
    }
}

#[test]
fn a_run_that_goes_on_keeps_its_evaluations_apart() {
    let mut rig = Rig::new();
    let recipe = rig.recipe(&["max_steps=100"]);
    rig.train(&recipe, Some(55)).expect("it trains");
    let shorter = apertis_domain::Recipe { max_steps: 65, ..recipe };
    rig.train(&shorter, None).expect("it goes on");
    let evaluated = rig.evaluated();
    assert!(evaluated.len() >= 10 && evaluated.starts_with(&[10, 20, 30, 40, 50]), "{evaluated:?}");
    assert_eq!(evaluated.last(), Some(&65));
    let replanned: Vec<ScheduleReplanned> = rig
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::ScheduleReplanned(replanned) => Some(replanned.clone()),
            _ => None,
        })
        .collect();
    assert!(matches!(&replanned[..], [one] if one.total_steps == 65 && one.eval_steps == 2), "{replanned:?}");
}

#[test]
fn less_than_what_is_done_is_said_and_nothing_is_trained() {
    let mut rig = Rig::new();
    let recipe = rig.recipe(&["max_steps=20"]);
    rig.train(&recipe, None).expect("it trains");
    let less = apertis_domain::Recipe { max_steps: 5, ..recipe };
    let outcome = rig.train(&less, None).expect("it ends");
    assert_eq!((outcome.step, rig.losses().len()), (20, 20));
    let said = rig.events.iter().find_map(|event| match &event.kind {
        EventKind::CommandAnswered(answer) if !answer.accepted => Some(answer.message.clone()),
        _ => None,
    });
    assert_eq!(said.as_deref(), Some("5 steps are asked for, 20 are done"));
}
