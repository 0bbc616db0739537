//! The wasmtime engines: one runs plugins, one runs components of the host, and one compiles. They
//! share the settings that affect generated code, so that code from the compile worker loads in the
//! other two.

use wasmtime::{
    Config, Enabled, Engine, Inlining, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    RegallocAlgorithm, Strategy, WasmBacktraceDetails, WasmFeatures,
};

use crate::components::FEATURES;
use crate::domain::limits::Limits;

const MIB: usize = 1 << 20;

/// The stack of a guest. Deep recursion ends as a trap of that guest.
const GUEST_STACK: usize = MIB / 2;

/// The stack of a fiber: the guest's stack, and as much again for the host calls on top of it. An
/// overflow in a host call would end the process.
const FIBER_STACK: usize = MIB;

/// The stack of a component of the host. The validator recurses over the schema and the body, and
/// the renderer over the markup of a mail.
const EMBEDDED_STACK: usize = 2 * MIB;

/// The most core instances of one component. The pool reserves as many for each of its instances,
/// so that no component can starve another one.
pub const CORE_INSTANCES: u32 = 16;
/// The most memories of one component, reserved in the same way.
pub const MEMORIES: u32 = 2;
/// The most tables of one component, reserved in the same way.
pub const TABLES: u32 = 8;

/// The bytes of an unused memory that stay resident and are zeroed. Memory beyond that is returned
/// to the system.
const MEMORY_KEPT: usize = MIB / 2;

/// The engine that runs components: at most `instances` at once, each with at most the memory of
/// `ceiling`. It takes instances from a pool and never compiles.
///
/// `memories_warm` additional memories keep the mappings of the component that used them last, so
/// that its next instance needs no system calls to map its data.
pub fn serving(instances: u32, memories_warm: u32, ceiling: &Limits) -> wasmtime::Result<Engine> {
    let mut config = shared();
    let pool = pool(instances, memories_warm, ceiling);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config.enable_compiler(false);
    Engine::new(&config)
}

/// The engine that runs components of the host, at most `sandboxes` at once. Each has one memory.
pub fn embedded(sandboxes: u32, ceiling: &Limits) -> wasmtime::Result<Engine> {
    let mut config = shared();
    config
        .max_wasm_stack(EMBEDDED_STACK)
        .async_stack_size(EMBEDDED_STACK + FIBER_STACK);
    let mut pool = pool(sandboxes, 0, ceiling);
    pool.total_memories(sandboxes);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config.enable_compiler(false);
    Engine::new(&config)
}

/// The engine of the compile worker.
pub fn compiling() -> wasmtime::Result<Engine> {
    Engine::new(&shared())
}

/// The settings that all engines share. They enable the proposals in [`FEATURES`], which uploads
/// are checked against.
fn shared() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_regalloc_algorithm(RegallocAlgorithm::Backtracking)
        .compiler_inlining(Inlining::No)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(20))
        .debug_info(false)
        .native_unwind_info(false)
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK)
        .async_stack_size(FIBER_STACK)
        .async_stack_zeroing(true)
        .memory_may_move(false)
        .memory_init_cow(true)
        .table_lazy_init(true)
        .concurrency_support(false)
        .shared_memory(false)
        .wasm_features(WasmFeatures::all().difference(FEATURES), false)
        .wasm_features(FEATURES, true);
    config
}

/// The pool of instances. Each memory reserves 4 GiB of address space; physical memory is allocated
/// on use.
fn pool(instances: u32, memories_warm: u32, ceiling: &Limits) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    let memories = instances.saturating_mul(MEMORIES).saturating_add(memories_warm);
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
        .total_memories(memories)
        .total_tables(instances.saturating_mul(TABLES))
        .total_stacks(instances)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memories_per_module(1)
        .max_tables_per_module(2)
        .max_memory_size(ceiling.memory.as_usize())
        .table_elements(20_000)
        .max_component_instance_size(MIB)
        .max_core_instance_size(MIB)
        .max_unused_warm_slots(memories_warm)
        .decommit_batch_size(1)
        // Together the next two settings save the system calls that would return memory after each
        // request: the page map shows which pages a request wrote, and they are zeroed in place.
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(MEMORY_KEPT)
        .table_keep_resident(16 * 1024)
        .async_stack_keep_resident(32 * 1024);
    pool
}

#[cfg(test)]
mod tests {
    use wasmtime::{Instance, Module, Store};

    use super::*;

    /// A module with a memory of one page.
    const MODULE: &[u8] = b"\0asm\x01\0\0\0\x05\x03\x01\0\x01";

    /// A module with a function type that permits subtypes.
    const SUBTYPE: &[u8] = b"\0asm\x01\0\0\0\x01\x06\x01\x50\0\x60\0\0";

    #[test]
    fn function_subtypes_are_refused() {
        let engine = Engine::new(&shared()).unwrap();
        Module::validate(&engine, MODULE).unwrap();
        let error = format!("{:#}", Module::validate(&engine, SUBTYPE).unwrap_err());
        assert!(error.contains("gc proposal must be enabled"), "{error}");
    }

    /// The number of memories that stay warm if two modules run alternately.
    fn warm(memories_warm: u32) -> u32 {
        let mut config = shared();
        let pool = pool(1, memories_warm, &Limits::ceiling());
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).unwrap();
        let modules = [(); 2].map(|()| Module::new(&engine, MODULE).unwrap());
        for module in modules.iter().cycle().take(6) {
            let mut store = Store::new(&engine, ());
            store.set_epoch_deadline(1);
            Instance::new(&mut store, module, &[]).unwrap();
        }
        engine.pooling_allocator_metrics().unwrap().unused_warm_memories()
    }

    #[test]
    fn each_module_has_a_memory_that_stays_warm_where_there_may_be_as_many() {
        assert_eq!(warm(0), 1);
        assert_eq!(warm(1), 1);
        assert_eq!(warm(2), 2);
    }
}
