//! Has cargo notice SQL files that are new: the macro that carries them inside the program sees
//! only the changes of those that it knows.

fn main() {
    for folder in ["migrations", "add-ons", "remove.sql"] {
        println!("cargo::rerun-if-changed=../../sql/{folder}");
    }
    println!("cargo::rerun-if-changed=../../supabase/functions/supaqueue");
}
