//! What is told of sectors to those who watch them.

use super::*;

/// The sector, and the first bytes of what is visible and of what is durable.
fn brief(states: &[SectorState]) -> Vec<(u64, u8, u8)> {
    states.iter().map(|it| (it.sector, it.visible[0], it.durable[0])).collect()
}

/// What each raw call since the last time has changed.
fn changes(disk: &SimDisk) -> Vec<Vec<(u64, u8, u8)>> {
    let mut changes = Vec::new();
    disk.drain_journal(|_, states| changes.push(brief(states)));
    changes
}

#[test]
fn writes_are_visible_at_once_and_durable_when_synced() {
    let disk = disk();
    disk.watch(true);
    write(&disk, 0, &[1, 2]);
    write(&disk, 1, &[3]);
    sync(&disk);
    write(&disk, 0, &[4]);
    let written = [vec![(0, 1, 0), (1, 2, 0)], vec![(1, 3, 0)]];
    let synced = [vec![(0, 1, 1), (1, 3, 3)], vec![(0, 4, 1)]];
    assert_eq!(changes(&disk), [written, synced].concat());
    disk.crash(CrashPolicy::None);
    assert_eq!(changes(&disk), [[]; 0]);
    assert_eq!(brief(&disk.take_crashed()), [(0, 1, 1)]);
    assert_eq!(disk.take_crashed(), []);
}

#[test]
fn a_sector_that_a_short_write_tears_is_seen_torn() {
    let disk = disk();
    write(&disk, 0, &[1; 2]);
    disk.watch(true);
    let faults = first(FaultKind::ShortWrite(700));
    run(&disk, &faults, async {
        disk.file().write_at(&[2; 2 * SECTOR], 0).await.unwrap();
    });
    let mut torn = Vec::new();
    disk.drain_journal(|_, states| torn.extend_from_slice(states));
    let torn = torn.iter().find(|it| it.sector == 1).unwrap();
    assert_eq!((torn.visible[187], torn.visible[188]), (2, 1));
}

#[test]
fn what_is_not_watched_costs_nothing() {
    let disk = disk();
    write(&disk, 0, &[1]);
    assert_eq!(changes(&disk), [[]]);
    disk.watch(true);
    disk.reset(512, SIZE, SIZE).unwrap();
    write(&disk, 0, &[1]);
    assert_eq!(changes(&disk), [[]]);
}
