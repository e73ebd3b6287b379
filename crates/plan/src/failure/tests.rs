use super::*;

/// Llama 3's cluster: 16,384 H100 for 54 days; 5.7 TB are saved beside training, to storage of 2 TB/s.
fn llama3() -> Setting {
    Setting {
        nodes: 2048,
        spares: 32,
        gpus_per_node: 8,
        work_s: 54.0 * 86_400.0 * 0.93,
        per_1000_node_days: rates().per_1000_node_days,
        uncertain_rate: true,
        saving: Saving::Async,
        stop_s: 2.0,
        write_s: 10.0,
        load_s: 30.0,
        interval_s: None,
        replicas: 128,
        silent_share: None,
        silent_s: CORRUPT_S,
    }
}

#[test]
fn shares_add_up() {
    let sum: f64 = rates().cause.iter().map(|c| c.share).sum();
    assert!((sum - 1.0).abs() < 0.001, "{sum}");
}

#[test]
fn llama_3s_interruptions_and_effective_time_come_out_of_other_clusters_rates() {
    let o = simulate(&llama3(), 400, 1);
    assert!(
        (o.interruptions[1]..o.interruptions[2]).contains(&419.0),
        "{:?}",
        o.interruptions
    );
    let certain = simulate(
        &Setting {
            uncertain_rate: false,
            ..llama3()
        },
        200,
        1,
    );
    assert!(
        (380.0..520.0).contains(&certain.interruptions[0]),
        "{:?}",
        certain.interruptions
    );
    assert!(certain.goodput_mean > 0.90, "{}", certain.goodput_mean);
}

#[test]
fn the_same_seed_gives_the_same_runs_and_another_does_not() {
    let a = simulate(&llama3(), 20, 7);
    assert_eq!(a.days, simulate(&llama3(), 20, 7).days);
    assert_ne!(a.days, simulate(&llama3(), 20, 8).days);
}

#[test]
fn nothing_is_lost_where_nothing_breaks() {
    let o = simulate(
        &Setting {
            per_1000_node_days: 0.0,
            stop_s: 0.0,
            ..llama3()
        },
        3,
        1,
    );
    assert!((o.goodput_mean - 1.0).abs() < 1e-9);
    assert_eq!(o.interruptions[0], 0.0);
}

#[test]
fn more_failures_never_help_and_spares_never_hurt() {
    let at = |rate: f64, spares: u64| {
        let s = Setting {
            per_1000_node_days: rate,
            spares,
            uncertain_rate: false,
            interval_s: Some(600.0),
            ..llama3()
        };
        simulate(&s, 60, 3).goodput_mean
    };
    assert!(at(2.0, 32) > at(8.0, 32));
    assert!(at(8.0, 64) >= at(8.0, 0) - 0.002);
}

#[test]
fn the_mean_agrees_with_the_formula_for_rare_failures() {
    // Kokolis et al. 2024: 1 - rate · (restart + interval / 2), with saves that cost nothing.
    let s = Setting {
        per_1000_node_days: 0.5,
        stop_s: 0.0,
        write_s: 0.0,
        load_s: 0.0,
        uncertain_rate: false,
        interval_s: Some(1800.0),
        spares: 1000,
        ..llama3()
    };
    let o = simulate(&s, 200, 5);
    let per_s = 0.5 / 1000.0 * 2048.0 / 86_400.0;
    let down: f64 = rates()
        .cause
        .iter()
        .map(|c| c.share * (c.detect_s + c.restart_s + if c.silent { CORRUPT_S } else { 0.0 }))
        .sum();
    let expected = 1.0 / (1.0 + per_s * (down + 900.0));
    assert!(
        (o.goodput_mean - expected).abs() < 0.003,
        "{} {expected}",
        o.goodput_mean
    );
}

#[test]
fn a_thousand_runs_of_100000_gpus_end() {
    let s = Setting {
        nodes: 12_500,
        spares: 100,
        uncertain_rate: false,
        work_s: 60.0 * 86_400.0,
        interval_s: Some(300.0),
        ..llama3()
    };
    let o = simulate(&s, 50, 2);
    assert!(
        o.goodput_mean > 0.3 && o.goodput_mean < 1.0,
        "{}",
        o.goodput_mean
    );
    assert!(o.days[2] >= o.days[0] && o.days[0] >= 60.0);
}

fn goodput(change: impl Fn(&mut Setting)) -> f64 {
    let mut s = Setting {
        uncertain_rate: false,
        spares: 0,
        ..llama3()
    };
    change(&mut s);
    simulate(&s, 100, 4).goodput_mean
}

#[test]
fn saving_beside_training_beats_stopping_for_it_and_a_peer_beats_storage() {
    let sync = goodput(|s| {
        s.saving = Saving::Sync;
        (s.stop_s, s.write_s) = (s.stop_s + s.write_s, 0.0);
    });
    let slow = |s: &mut Setting| (s.write_s, s.load_s) = (120.0, 140.0);
    let (beside, peer) = (
        goodput(slow),
        goodput(|s| {
            slow(s);
            s.saving = Saving::Peer;
        }),
    );
    assert!(goodput(|_| {}) > sync);
    assert!(peer > beside, "{peer} {beside}");
}

#[test]
fn going_on_with_fewer_replicas_beats_waiting_for_a_node() {
    let rigid = goodput(|s| s.replicas = 1);
    assert!(goodput(|_| {}) > rigid + 0.05, "{rigid}");
}

#[test]
fn silent_corruption_costs_by_its_share_and_by_how_late_it_shows() {
    let none = goodput(|s| s.silent_share = Some(0.0));
    let some = goodput(|s| s.silent_share = Some(0.1));
    let late = goodput(|s| (s.silent_share, s.silent_s) = (Some(0.1), 6.0 * 3600.0));
    assert!(none > some && some > late, "{none} {some} {late}");
    let o = simulate(
        &Setting {
            silent_share: Some(0.0),
            ..llama3()
        },
        10,
        1,
    );
    assert!(
        o.losses
            .iter()
            .all(|l| l.what != "silent corruption" || l.gpu_hours == 0.0)
    );
}
