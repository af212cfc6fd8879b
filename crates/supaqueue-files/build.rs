//! Has cargo notice files that are new: the macro that carries them sees only the changes of those
//! that it knows.

fn main() {
    for folder in ["sql", "supabase/functions/supaqueue"] {
        println!("cargo::rerun-if-changed=../../{folder}");
    }
}
