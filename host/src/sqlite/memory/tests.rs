//! Tests of who pays for memory, and when it is refused.

use mortise_sql::Author;

use super::*;

const HEADER: u64 = HEADER_BYTES as u64;

/// Memory from the allocator, as SQLite gets it.
fn malloc(budget: &Budget, bytes: c_int) -> *mut c_void {
    // SAFETY: the allocator takes any size.
    charged(budget, || unsafe { x_malloc(bytes) })
}

fn realloc(budget: &Budget, memory: *mut c_void, bytes: c_int) -> *mut c_void {
    // SAFETY: the tests pass what they were given and have not freed.
    charged(budget, || unsafe { x_realloc(memory, bytes) })
}

fn free(budget: &Budget, memory: *mut c_void) {
    // SAFETY: the same.
    charged(budget, || unsafe { x_free(memory) });
}

#[test]
fn a_budget_has_a_limit() {
    for (bytes, fits) in [(999, true), (1_000, true), (1_001, false)] {
        let budget = Budget::new(ByteSize(1_000 + HEADER));
        let memory = malloc(&budget, bytes);
        assert_eq!(!memory.is_null(), fits, "{bytes}");
        if fits {
            assert_eq!(refusal(), None);
            assert_eq!(budget.most(), u64::try_from(bytes).unwrap() + HEADER);
            free(&budget, memory);
        } else {
            assert_eq!(refusal(), Some(Shortage::Tenant));
        }
        assert_eq!(budget.taken(), 0);
    }
}

#[test]
fn the_budget_that_was_charged_is_credited_from_any_thread() {
    let (payer, other) = (Budget::new(ByteSize::mib(1)), Budget::new(ByteSize::mib(1)));
    let memory = malloc(&payer, 1_000);
    let memory = realloc(&other, memory, 5_000);
    assert_eq!((payer.taken(), other.taken()), (cost(5_000), 0));
    let memory = realloc(&other, memory, 100);
    assert_eq!((payer.taken(), other.taken()), (cost(100), 0));
    // SAFETY: what was given and is not freed.
    assert_eq!(unsafe { x_size(memory) }, 100);
    free(&other, memory);
    assert_eq!((payer.taken(), other.taken()), (0, 0));
}

#[test]
fn memory_outlives_its_budget() {
    let (payer, other) = (Budget::new(ByteSize::mib(1)), Budget::new(ByteSize::mib(1)));
    let memory = [1, 100, 100_000].map(|bytes| malloc(&payer, bytes));
    drop(payer);
    let larger = realloc(&other, memory[2], 200_000);
    assert!(!larger.is_null());
    for memory in [memory[0], memory[1], larger] {
        free(&other, memory);
    }
    assert_eq!(other.taken(), 0);
}

#[test]
fn a_refused_growth_leaves_what_was_there() {
    let budget = Budget::new(ByteSize(1_000));
    let memory = malloc(&budget, 500);
    assert!(realloc(&budget, memory, 1_000).is_null());
    assert_eq!(budget.taken(), cost(500));
    budget.set_limit(ByteSize(2_000));
    let memory = realloc(&budget, memory, 1_000);
    assert!(!memory.is_null());
    free(&budget, memory);
    assert_eq!(budget.taken(), 0);
}

#[test]
fn all_tenants_together_have_a_limit_and_each_a_part_of_its_own() {
    for (taken, all, refusal) in [
        (OWN_BYTES + 1, HOST_BYTES, None),
        (OWN_BYTES, HOST_BYTES + 1, None),
        (OWN_BYTES + 1, HOST_BYTES + 1, Some(Shortage::Host)),
        (OWN_BYTES * 2, HOST_BYTES + 1, Some(Shortage::Tenant)),
    ] {
        assert_eq!(
            too_much(taken, OWN_BYTES * 2 - 1, all),
            refusal,
            "{taken} of {all}"
        );
    }
}

#[test]
fn memory_is_refused_once_the_time_is_over() {
    let budget = Budget::new(ByteSize::mib(64));
    let watch = Watch::new(Author::Plugin);
    let refused = |count: usize, bytes| {
        let refused = |_| {
            let memory = malloc(&budget, bytes);
            free(&budget, memory);
            memory.is_null()
        };
        watched(&watch, || (0..count).filter(|number| refused(*number)).count())
    };
    assert_eq!(refused(1_000, 10) + refused(10, 1_000_000), 0);
    watch.cancel();
    assert_eq!(refused(10, 1_000_000), 10);
    assert!((10..=20).contains(&refused(1_000, 10)));
    watch.disarm();
    assert_eq!(refused(1_000, 10), 0);
}

#[test]
fn setting_up_twice_changes_nothing() {
    super::super::configure().unwrap();
    super::super::configure().unwrap();
}

#[test]
fn memory_is_refused_where_much_of_the_stack_is_used() {
    /// Goes down by steps of some KiB until memory is refused.
    fn depth(left: usize) -> usize {
        let room = std::hint::black_box([0_u8; 4096]);
        // SAFETY: what is given is freed at once.
        let given = unsafe {
            let memory = x_malloc(10);
            x_free(memory);
            !memory.is_null()
        };
        let deeper = if given && left > 0 { depth(left - 1) } else { 0 };
        deeper + usize::from(room[left % room.len()]) + 1
    }
    let budget = Budget::new(ByteSize::mib(1));
    let work = move || charged(&budget, || (depth(10_000), refusal()));
    let thread = std::thread::Builder::new()
        .stack_size(2 * STACK_BYTES)
        .spawn(work)
        .unwrap();
    let (depth, refusal) = thread.join().unwrap();
    assert_eq!(refusal, Some(Shortage::Deep));
    assert!((60..=260).contains(&depth), "{depth}");
}
