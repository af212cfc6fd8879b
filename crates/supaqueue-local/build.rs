//! The migrations and the function are part of the library: built again when they change.

fn main() {
    for folder in ["../../sql/migrations", "../../supabase/functions/supaqueue"] {
        println!("cargo:rerun-if-changed={folder}");
    }
}
