//! The migrations are embedded in the executable by a macro that does not notice a new file.

fn main() {
    println!("cargo::rerun-if-changed=../migrations");
}
