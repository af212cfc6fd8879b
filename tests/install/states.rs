//! States of a project, made without the program: as programs before it, or runs of it that were cut
//! short, leave one.

use sha2::Digest;
use supaqueue_files::{function_files, migrations};

use crate::project::Project;

/// The key of a project that is not set up by the program.
const KEY: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The key that is to follow it.
const NEXT_KEY: &str = "whsec_Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";

/// What a project has of Supaqueue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing.
    Nothing,
    /// Everything, with this version of the schema; the function is today's.
    Version(usize),
    /// Everything that this program installs.
    Installed,
    /// That and the add-on.
    WithAddOn,
    /// That (without the add-on) and the key that a gateway may ask for.
    WithAnonKey,
    /// That but the schema and what the Vault has beside the secret.
    WithoutSchema,
    /// That but the function.
    WithoutFunction,
    /// That but the functions' secret.
    WithoutFunctionsSecret,
    /// All that, but the secret is not yet the one that signs.
    WithoutSignature,
    /// All that, with the next secret made; the functions have not heard of it.
    RotationBegun,
    /// All that, with the next secret made and signing; the functions accept both.
    RotationHalfDone,
}

impl Project {
    /// Brings the project into a state, whichever it is in.
    pub(crate) async fn bring_to(&self, state: State) {
        self.platform.set_trap(None);
        self.platform.clear();
        self.run(include_str!("../../sql/remove.sql")).await;
        let (version, secrets): (usize, &[(&str, &str)]) = match state {
            State::Nothing => return,
            State::Version(version) => (version, &[("supaqueue_secret", KEY)]),
            State::WithoutSchema => (0, &[("supaqueue_secret", KEY)]),
            State::WithoutSignature => (migrations().len(), &[("supaqueue_secret_next", KEY)]),
            State::RotationBegun => (
                migrations().len(),
                &[
                    ("supaqueue_secret", KEY),
                    ("supaqueue_secret_next", NEXT_KEY),
                ],
            ),
            State::RotationHalfDone => (
                migrations().len(),
                &[
                    ("supaqueue_secret", NEXT_KEY),
                    ("supaqueue_secret_previous", KEY),
                ],
            ),
            _ => (migrations().len(), &[("supaqueue_secret", KEY)]),
        };
        for (name, key) in secrets {
            self.run(&format!("select vault.create_secret('{key}', '{name}')"))
                .await;
        }
        for migration in &migrations()[..version] {
            self.run(&format!("begin; {}; commit", migration.sql)).await;
        }
        if version > 0 {
            self.run(&format!(
                "select vault.create_secret('{}', 'supaqueue_url'); select supaqueue.schedule_tick()",
                self.stack.gateway_url()
            ))
            .await;
        }
        if state == State::WithAnonKey {
            self.run("select vault.create_secret('sb_publishable_test', 'supaqueue_anon_key')")
                .await;
        }
        if state == State::WithAddOn {
            let add = supaqueue_files::add_ons()[0].add;
            let digest: String = sha2::Sha256::digest(add)[..6]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let comment = format!(
                "do $$ begin
                   execute format('comment on table supaqueue.job_dependencies is %L',
                     obj_description('supaqueue.job_dependencies'::regclass, 'pg_class') || ' (add-on {digest})');
                 end $$"
            );
            self.run(&format!("begin; {add}; {comment}; commit")).await;
        }
        if state != State::WithoutFunction {
            self.serve_function();
        }
        let both = format!("{KEY} {NEXT_KEY}");
        self.platform.set_secret(
            "SUPAQUEUE_SECRET",
            match state {
                State::WithoutFunctionsSecret => None,
                State::RotationHalfDone => Some(&both),
                _ => Some(KEY),
            },
        );
    }

    /// Has the functions be served with ours among them, as a user deploys it by hand.
    pub(crate) fn serve_function(&self) {
        let folder = self.platform.function_folder("supaqueue");
        std::fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in function_files() {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
        self.platform.serve_without_jwt("supaqueue");
    }
}
