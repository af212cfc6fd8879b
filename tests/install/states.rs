//! Puts a project into a state without the program, such as the one that an interrupted run leaves.

use supaqueue_files::{REMOVE, add_on, core};

use crate::project::Project;

/// The key of a project set up without the program.
pub(crate) const KEY: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The key that replaces it.
const NEXT_KEY: &str = "whsec_Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";

/// Which parts of Supaqueue a project has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing.
    Nothing,
    /// Everything that this program installs.
    Installed,
    /// Everything and the add-on.
    WithAddOn,
    /// Everything and the key that a gateway may require.
    WithAnonKey,
    /// Everything except the schema and the Vault's entries other than the secret.
    WithoutSchema,
    /// Everything except the function.
    WithoutFunction,
    /// Everything except the functions' secret.
    WithoutFunctionsSecret,
    /// Everything, but the secret does not sign yet.
    WithoutSignature,
    /// Everything, and the next secret is in the Vault; the functions do not have it yet.
    RotationBegun,
    /// Everything, and the next secret signs; the functions accept both.
    RotationHalfDone,
}

impl Project {
    /// Brings the project into a state from any other.
    pub(crate) fn bring_to(&self, state: State) {
        self.platform.remove_trap();
        self.platform.clear();
        self.run(REMOVE);
        #[rustfmt::skip]
        let secrets: &[(&str, &str)] = match state {
            State::Nothing => return,
            State::WithoutSignature => &[("supaqueue_secret_next", KEY)],
            State::RotationBegun => &[("supaqueue_secret", KEY), ("supaqueue_secret_next", NEXT_KEY)],
            State::RotationHalfDone => &[("supaqueue_secret", NEXT_KEY), ("supaqueue_secret_previous", KEY)],
            _ => &[("supaqueue_secret", KEY)],
        };
        for (name, key) in secrets {
            self.run(&format!("select vault.create_secret('{key}', '{name}')"));
        }
        if state != State::WithoutSchema {
            self.run(&core().from_scratch());
            self.run(&format!(
                "select vault.create_secret('{}', 'supaqueue_url'); select supaqueue.schedule_tick()",
                self.stack.gateway_url()
            ));
        }
        if state == State::WithAnonKey {
            self.run("select vault.create_secret('sb_publishable_test', 'supaqueue_anon_key')");
        }
        if state == State::WithAddOn {
            self.run(&add_on("job_dependencies").unwrap().from_scratch());
        }
        if state != State::WithoutFunction {
            self.platform.deploy_supaqueue();
        }
        let both = format!("{KEY} {NEXT_KEY}");
        let of_functions = match state {
            State::WithoutFunctionsSecret => None,
            State::RotationHalfDone => Some(&*both),
            _ => Some(KEY),
        };
        self.platform.set_secret("SUPAQUEUE_SECRET", of_functions);
    }
}
