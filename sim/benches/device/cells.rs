//! What is done in a row of the table.

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
    /// Durable when it is done.
    Fua,
}

/// Requests of one kind and size, so many at a time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) random: bool,
    pub(crate) kind: Kind,
    pub(crate) size: usize,
    pub(crate) depth: usize,
}

const SIZES: [usize; 4] = [512, 4 << 10, 64 << 10, 1 << 20];
const DEPTHS: [usize; 3] = [1, 8, 32];

impl Cell {
    pub(crate) fn name(&self) -> String {
        let order = if self.random { "random" } else { "sequential" };
        let kind = match self.kind {
            Kind::Read => "read",
            Kind::Write => "write",
            Kind::Fua => "FUA write",
        };
        let size = match self.size {
            size if size >= 1 << 20 => format!("{} MiB", size >> 20),
            size if size >= 1 << 10 => format!("{} KiB", size >> 10),
            size => format!("{size} B"),
        };
        format!("{order} {kind}, {size} x {}", self.depth)
    }

    /// How many requests are made between two looks at the clock.
    pub(crate) fn burst(&self) -> usize {
        if self.kind == Kind::Fua { 1 } else { ((64 << 10) / self.size).clamp(1, 32) }
    }
}

/// Every one.
pub(crate) fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    for random in [false, true] {
        for kind in [Kind::Read, Kind::Write] {
            for size in SIZES {
                cells.extend(DEPTHS.map(|depth| Cell { random, kind, size, depth }));
            }
        }
    }
    cells.extend(fua());
    cells
}

/// Those that differ most: every size one at a time, and some sizes many at a time.
pub(crate) fn usual() -> Vec<Cell> {
    let chosen = |cell: &Cell| match (cell.random, cell.size, cell.depth) {
        _ if cell.kind == Kind::Fua => true,
        (false, 4096 | 0x10_0000, 1) | (false, 0x1_0000, 8) => true,
        (true, 512 | 4096, 1) | (true, 4096, _) | (true, 0x1_0000, 32) => true,
        _ => false,
    };
    all().into_iter().filter(chosen).collect()
}

fn fua() -> [Cell; 3] {
    DEPTHS.map(|depth| Cell { random: true, kind: Kind::Fua, size: 4096, depth })
}

/// The offsets of the requests that one thread or task makes, of `count` in its part of the file.
pub(crate) struct Walk {
    cell: Cell,
    first: u64,
    count: u64,
    next: u64,
    state: u64,
}

impl Walk {
    /// Number `number` of as many as the depth: sequential ones have a part of the file each.
    pub(crate) fn new(cell: Cell, file: u64, number: usize) -> Self {
        let blocks = file / cell.size as u64;
        let parts = if cell.random { 1 } else { cell.depth as u64 };
        let count = (blocks / parts).max(1);
        let first = if cell.random { 0 } else { number as u64 * count % blocks };
        let state = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { cell, first, count, next: 0, state }
    }

    pub(crate) fn offset(&mut self) -> u64 {
        let block = if self.cell.random {
            // Marsaglia's xorshift: cheap, so that it is not what is measured.
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            ((self.state >> 32) * self.count) >> 32
        } else {
            self.next = if self.next + 1 >= self.count { 0 } else { self.next + 1 };
            self.next
        };
        (self.first + block) * self.cell.size as u64
    }
}
