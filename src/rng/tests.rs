//! The numbers of every stream and distribution, for good.
//!
//! The literals come from an implementation of ChaCha8 outside Rust, fed with the key and the
//! streams that the module documentation defines.

use super::*;

fn operations() -> Rng {
    Rng::new(42, Purpose::Operations)
}

fn twelve<T>(mut draw: impl FnMut(&mut Rng) -> T) -> Vec<T> {
    let mut rng = operations();
    (0..12).map(|_| draw(&mut rng)).collect()
}

#[test]
fn every_purpose_has_its_golden_stream() {
    let golden = [
        (Purpose::Operations, [0x07be_6182_baaf_2058, 0x9986_7a2f_516b_f976]),
        (Purpose::Schedule, [0x5ebf_c81b_defe_3506, 0xca23_f4c4_851c_0a49]),
        (Purpose::Faults, [0x871a_5ee1_be5d_2eb5, 0xf53b_b17e_71a6_d26e]),
        (Purpose::Crash, [0x778f_f95b_30e6_439e, 0x0849_41e1_b291_5a4c]),
        (Purpose::Payload, [0x9537_2037_1efe_ddfe, 0xc08c_476d_9122_45db]),
    ];
    for (purpose, numbers) in golden {
        let mut rng = Rng::new(42, purpose);
        assert_eq!([rng.next_u64(), rng.next_u64()], numbers, "{purpose:?}");
    }
}

#[test]
fn the_stream_goes_on_across_blocks_of_the_cipher() {
    let mut rng = operations();
    let fortieth = (0..40).map(|_| rng.next_u64()).last();
    assert_eq!(fortieth, Some(0x9d1d_17f7_f09a_5e98));
}

#[test]
fn distributions_are_golden() {
    assert_eq!(twelve(|rng| rng.below(10)), [0, 5, 6, 6, 4, 0, 5, 8, 9, 4, 0, 3]);
    assert_eq!(twelve(|rng| rng.between(1, 6)), [1, 4, 4, 5, 3, 1, 4, 6, 6, 3, 1, 3]);
    assert_eq!(twelve(|rng| u8::from(rng.chance(1, 3))), [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]);
    assert_eq!(
        twelve(|rng| *rng.pick(&['a', 'b', 'c', 'd'])),
        ['a', 'c', 'c', 'c', 'b', 'a', 'c', 'd', 'd', 'b', 'a', 'b']
    );
    assert_eq!(twelve(|rng| rng.weighted(&[1, 0, 3, 6])), [0, 3, 3, 3, 3, 0, 3, 3, 3, 3, 0, 2]);
    assert_eq!(twelve(|rng| rng.weighted(&[0, 0, 0])), [0, 1, 1, 2, 1, 0, 1, 2, 2, 1, 0, 1]);
}

#[test]
fn drawing_for_one_purpose_does_not_shift_another() {
    let mut alone = Rng::new(7, Purpose::Crash);
    let mut beside = Rng::new(7, Purpose::Crash);
    let mut busy = Rng::new(7, Purpose::Faults);
    for draws in 0..100 {
        for _ in 0..draws % 5 {
            busy.next_u64();
        }
        assert_eq!(alone.next_u64(), beside.next_u64());
    }
}

#[test]
fn every_call_takes_one_draw() {
    let calls: [fn(&mut Rng); 9] = [
        |rng| _ = rng.next_u64(),
        |rng| _ = rng.below(1),
        |rng| _ = rng.below(u64::MAX),
        |rng| _ = rng.between(3, 3),
        |rng| _ = rng.between(0, u64::MAX),
        |rng| _ = rng.chance(0, 1),
        |rng| _ = rng.pick(&[()]),
        |rng| _ = rng.weighted(&[5]),
        |rng| _ = rng.weighted(&[0, 0]),
    ];
    for (number, call) in calls.into_iter().enumerate() {
        let mut rng = operations();
        call(&mut rng);
        assert_eq!(rng.next_u64(), 0x9986_7a2f_516b_f976, "call {number}");
    }
}

#[test]
fn another_seed_is_another_stream() {
    let mut other = Rng::new(43, Purpose::Operations);
    assert_ne!(other.next_u64(), operations().next_u64());
}

#[test]
fn the_ends_of_a_range_are_drawn_and_nothing_outside() {
    let mut rng = operations();
    let mut seen = [0; 6];
    for _ in 0..1000 {
        seen[usize::try_from(rng.between(1, 6)).unwrap() - 1] += 1;
    }
    assert!(seen.iter().all(|&times| times > 100), "{seen:?}");
}

#[test]
fn the_full_range_is_the_draw_itself() {
    assert_eq!(operations().between(0, u64::MAX), operations().next_u64());
}

#[test]
fn certain_chances_are_certain() {
    let mut rng = operations();
    assert!((0..1000).all(|_| rng.chance(u64::MAX, u64::MAX) && !rng.chance(0, 1)));
}

#[test]
#[should_panic(expected = "no number is below zero")]
fn below_zero_panics() {
    operations().below(0);
}

#[test]
#[should_panic(expected = "no number is between 2 and 1")]
fn between_the_wrong_way_round_panics() {
    operations().between(2, 1);
}

#[test]
#[should_panic(expected = "more than one")]
fn an_impossible_chance_panics() {
    operations().chance(2, 1);
}

#[test]
#[should_panic(expected = "no number is below zero")]
fn a_chance_out_of_none_panics() {
    operations().chance(0, 0);
}

#[test]
#[should_panic(expected = "nothing to pick from")]
fn picking_from_nothing_panics() {
    operations().pick::<u8>(&[]);
}

#[test]
#[should_panic(expected = "no weights")]
fn no_weights_panic() {
    operations().weighted(&[]);
}
