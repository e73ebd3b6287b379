//! Who is served when, over the scheduler's fake runner: clients share it, classes of priority go
//! first but not alone, and nobody waits for ever.

use proptest::prelude::*;

use super::tests::{Asking, Watch, plain, run, scheduler, submit_as};
use super::*;

/// Submits one request of a client.
fn ask(
    scheduler: &mut Scheduler<super::tests::HashRunner, Watch>,
    client: u64,
    priority: i32,
    tokens: usize,
) -> Watch {
    let asking = Asking {
        client,
        priority,
        ..Asking::default()
    };
    // Prompts of different clients share nothing.
    submit_as(scheduler, &[client as u32 % 7; 3], tokens, asking)
}

fn one_at_a_time() -> Budget {
    Budget {
        max_sequences: 1,
        ..plain(16)
    }
}

/// Steps until all have ended; gives the order in which they began, by index.
fn order(
    scheduler: &mut Scheduler<super::tests::HashRunner, Watch>,
    watches: &[Watch],
) -> Vec<usize> {
    let mut begun = Vec::new();
    let mut steps = 0;
    while !scheduler.is_idle() {
        scheduler.step();
        steps += 1;
        assert!(steps < 100_000, "no progress");
        for (index, watch) in watches.iter().enumerate() {
            if watch.has_started() && !begun.contains(&index) {
                begun.push(index);
            }
        }
    }
    begun
}

#[test]
fn a_client_with_one_request_does_not_wait_for_all_of_anothers() {
    let mut scheduler = scheduler(64, one_at_a_time());
    let mut watches: Vec<Watch> = (0..50).map(|_| ask(&mut scheduler, 1, 0, 5)).collect();
    watches.push(ask(&mut scheduler, 2, 0, 5));
    let order = order(&mut scheduler, &watches);
    let place = order.iter().position(|&index| index == 50).unwrap();
    assert!(place <= 2, "{place}");
    // Of one client's, the oldest first.
    assert!(order.iter().filter(|&&index| index < 50).is_sorted());
}

#[test]
fn clients_share_by_tokens_not_by_requests() {
    let mut scheduler = scheduler(64, one_at_a_time());
    // One asks for long answers, the other for short ones.
    let mut watches: Vec<Watch> = (0..20).map(|_| ask(&mut scheduler, 1, 0, 100)).collect();
    watches.extend((0..200).map(|_| ask(&mut scheduler, 2, 0, 10)));
    let order = order(&mut scheduler, &watches);
    let (mut long, mut short) = (0_usize, 0_usize);
    for &index in &order {
        if index < 20 {
            long += 103;
        } else {
            short += 13;
        }
        if long < 20 * 103 && short < 200 * 13 {
            // Never further apart than a few requests.
            assert!(long.abs_diff(short) < 500, "{long} {short}");
        }
    }
}

#[test]
fn idling_earns_no_credit() {
    let mut scheduler = scheduler(64, one_at_a_time());
    let watches: Vec<Watch> = (0..30).map(|_| ask(&mut scheduler, 1, 0, 20)).collect();
    while watches.iter().filter(|w| w.has_started()).count() < 20 {
        scheduler.step();
    }
    // Whoever comes now shares from now on, and does not catch up.
    let late: Vec<Watch> = (0..10).map(|_| ask(&mut scheduler, 2, 0, 20)).collect();
    let mut all = watches.clone();
    all.extend(late);
    let order = order(&mut scheduler, &all);
    let among: Vec<usize> = order.into_iter().filter(|&i| i >= 20).collect();
    let first_ten: Vec<_> = among.iter().take(10).collect();
    let of_late = first_ten.iter().filter(|&&&i| i >= 30).count();
    assert!((4..=6).contains(&of_late), "{among:?}");
}

#[test]
fn higher_classes_go_first_but_not_alone() {
    let mut scheduler = scheduler(64, one_at_a_time());
    let mut watches: Vec<Watch> = (0..3).map(|_| ask(&mut scheduler, 1, -5, 3)).collect();
    watches.extend((0..60).map(|_| ask(&mut scheduler, 1, 5, 3)));
    watches.push(ask(&mut scheduler, 1, 0, 3));
    let order = order(&mut scheduler, &watches);
    assert!(order[..8].iter().all(|index| (3..63).contains(index)));
    let low: Vec<usize> = (0..3)
        .map(|index| order.iter().position(|&i| i == index).unwrap())
        .collect();
    assert!(low.is_sorted() && low[0] < 20 && low[2] < 60, "{low:?}");
    assert!(order.iter().position(|&i| i == 63).unwrap() < 20);
}

#[derive(Clone, Debug)]
struct Wish {
    client: u64,
    priority: i32,
    tokens: usize,
    n: usize,
}

prop_compose! {
    fn wish()(
        client in 0_u64..4,
        priority in -1_i32..2,
        tokens in 1_usize..30,
        n in 1_usize..4,
    ) -> Wish {
        Wish { client, priority, tokens, n }
    }
}

proptest! {
    /// While one client of high priority never stops asking, everybody else's requests end all the
    /// same, a client's in order within a class, and no bookkeeping is left behind.
    #[test]
    fn nobody_starves(
        wishes in prop::collection::vec(wish(), 1..20),
        max_sequences in 1_usize..4,
        pages in 8_usize..16,
    ) {
        let budget = Budget { max_sequences, ..plain(16) };
        let mut scheduler = scheduler(pages, budget);
        let watches: Vec<Vec<Watch>> = wishes
            .iter()
            .map(|wish| {
                let asking = Asking {
                    client: wish.client,
                    priority: wish.priority,
                    n: wish.n,
                };
                super::tests::submit_group(&mut scheduler, &[3, 1, 2], wish.tokens, asking)
            })
            .collect();
        let all: Vec<&Watch> = watches.iter().flatten().collect();
        let mut steps = 0;
        while !all.iter().all(|watch| watch.has_ended()) {
            // The flood: always more waiting than can run.
            ask(&mut scheduler, 99, 9, 5);
            scheduler.step();
            steps += 1;
            prop_assert!(steps < 20_000, "somebody starves");
        }
        for watch in &all {
            prop_assert_eq!(watch.ended().0, crate::FinishReason::Length);
        }
        run(&mut scheduler);
        prop_assert!(scheduler.line.is_forgotten());
    }
}
