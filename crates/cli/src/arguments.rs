//! What can be typed: verbs, flags, and `key=value` for every field of a recipe.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Turn your data into your own language model.
#[derive(Debug, Parser)]
#[command(name = "apertis", version, about, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Where runs, models, data and caches live [default: $APERTIS_HOME, else the platform's data folder]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) home: Option<PathBuf>,
    /// Print one JSON object as the last line of stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) serve: ServeArguments,
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

const EXAMPLES: &str = "\
Examples:
  apertis
  apertis train model=./SmolLM2-135M data=chats.jsonl
  apertis train method=scratch data=book.txt model.layers=4 max_steps=2000
  apertis runs
  apertis run lora-1
  apertis eval model=lora-1 data=held-out.jsonl";

const DATA_EXAMPLES: &str = "\
Examples:
  apertis data data=chats.jsonl
  apertis data data=chats.jsonl model=./SmolLM2-135M max_length=512
  apertis data data=table.csv columns.prompt=question columns.response=answer

Without a model, lengths are counted in bytes.";

const MERGE_EXAMPLES: &str = "\
Examples:
  apertis merge model=lora-1 out=./my-model
  apertis merge model=./base adapter=./adapter out=./my-model precision=f32";

const TOKENS_EXAMPLES: &str = "\
Examples:
  apertis tokens model=./SmolLM2-135M data=chats.jsonl row=3
  apertis tokens model=lora-1 data=chats.jsonl row=3 train_on=last";

const LOGITS_EXAMPLES: &str = "\
Examples:
  apertis logits model=./SmolLM2-135M ids=1,2,3
  apertis logits model=lora-1 ids=1,2,3 decode=true precision=f32 --json

decode=true reads the ids one by one through the KV cache.";

const LIST_EXAMPLES: &str = "\
Examples:
  apertis list
  apertis list --json

Models are folders in the home's models/; runs are models too: `apertis runs`.";

const SHOW_EXAMPLES: &str = "\
Examples:
  apertis show ./SmolLM2-135M
  apertis show lora-1";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  apertis doctor
  apertis doctor --json";

const RUNS_EXAMPLES: &str = "\
Examples:
  apertis runs
  apertis runs --json";

const WATCH_EXAMPLES: &str = "\
Examples:
  apertis watch
  apertis watch lora-1";

const STOP_EXAMPLES: &str = "\
Examples:
  apertis stop lora-1
  apertis stop lora-1 --now

Go on with `apertis train resume=lora-1`.";

const SERVE_EXAMPLES: &str = "\
Examples:
  apertis serve
  apertis serve --port 9000 --no-open
  apertis serve --host 0.0.0.0

Beyond this computer a key is needed: apertis keys create laptop";

const KEYS_EXAMPLES: &str = "\
Examples:
  apertis keys create laptop
  apertis keys list
  apertis keys revoke 3f2a91c04d5e";

const REINDEX_EXAMPLES: &str = "\
Examples:
  apertis reindex
  apertis reindex --database-url postgres://apertis@db.example/apertis

The index is what lists and charts of the studio are read from. It is made of the run folders and
can be made again at any time; keys, settings and jobs stay as they are.";

const BACKUP_EXAMPLES: &str = "\
Examples:
  apertis backup records.jsonl
  apertis backup records.jsonl --database-url postgres://apertis@db.example/apertis

It holds what exists only in the database: keys (as hashes), sessions, settings, jobs. Runs, models
and data are folders of the home: copy those with whatever copies folders.";

const RESTORE_EXAMPLES: &str = "\
Examples:
  apertis restore records.jsonl
  apertis restore records.jsonl --database-url postgres://apertis@db.example/apertis

The records of the file take the place of those that are there.";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Open the studio; the same as no verb
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArguments),
    /// Make, list and revoke keys for the studio
    #[command(after_help = KEYS_EXAMPLES)]
    Keys(KeysArguments),
    /// Fill the studio's index again from the run folders
    #[command(after_help = REINDEX_EXAMPLES)]
    Reindex(DatabaseArguments),
    /// Write keys, settings and jobs of the studio into a file
    #[command(after_help = BACKUP_EXAMPLES)]
    Backup(BackupArguments),
    /// Take keys, settings and jobs of the studio from a file
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore(BackupArguments),
    /// Train a model: adapters, all of it, or from scratch
    Train(TrainArguments),
    /// Work on a run; started by `train`
    #[command(hide = true)]
    Worker(WorkerArguments),
    /// Measure a model on data
    Eval(EvalArguments),
    /// Chat with a model, or answer one prompt
    Run(RunArguments),
    /// Print the logits of some token ids
    #[command(after_help = LOGITS_EXAMPLES)]
    Logits(LogitsArguments),
    /// Check a data set and describe it
    #[command(after_help = DATA_EXAMPLES)]
    Data(AssignmentArguments),
    /// Show one row as tokens: trained, only seen, cut off
    #[command(after_help = TOKENS_EXAMPLES)]
    Tokens(AssignmentArguments),
    /// List models
    #[command(after_help = LIST_EXAMPLES)]
    List,
    /// Describe a model
    #[command(after_help = SHOW_EXAMPLES)]
    Show(ShowArguments),
    /// Write a model with its adapter built in
    #[command(after_help = MERGE_EXAMPLES)]
    Merge(AssignmentArguments),
    /// Measure how quick this machine is with a model
    Bench(BenchArguments),
    /// Tell what this machine has and what it means
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor,
    /// Print a completion script for a shell
    Completions(CompletionsArguments),
    /// List runs
    #[command(after_help = RUNS_EXAMPLES)]
    Runs,
    /// Follow a run; Ctrl-C leaves it going
    #[command(after_help = WATCH_EXAMPLES)]
    Watch(NameArguments),
    /// Ask a run to save and stop
    #[command(after_help = STOP_EXAMPLES)]
    Stop(StopArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  apertis train model=./SmolLM2-135M data=chats.jsonl
  apertis train model=./model data=chats.jsonl method=full learning_rate=1e-5 epochs=2
  apertis train method=scratch data=book.txt tokenizer=char model.width=128
  apertis train recipe=my.toml seed=7
  apertis train resume=lora-1
  apertis train model=./model data=chats.jsonl --dry-run

Every field of a recipe is a key: docs/reference/recipe.md lists them.
Precedence: defaults, then recipe=FILE, then the command line.")]
pub(crate) struct TrainArguments {
    /// Fields of the recipe as key=value; recipe=FILE reads some from a file, resume=RUN goes on
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) assignments: Vec<String>,
    /// Name of the run [default: numbered by method]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Return at once; the run goes on
    #[arg(long)]
    pub(crate) detach: bool,
    /// Do not wait for a busy device
    #[arg(long)]
    pub(crate) now: bool,
    /// Make no run: show its plan, with the time of three measured steps
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WorkerArguments {
    /// The run's folder
    pub(crate) folder: PathBuf,
    /// Nobody asked for this start
    #[arg(long)]
    pub(crate) automatic: bool,
    /// Go on although the run has reached its end
    #[arg(long)]
    pub(crate) extend: bool,
    /// Do not wait for a busy device
    #[arg(long)]
    pub(crate) now: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  apertis eval model=lora-1 data=held-out.jsonl
  apertis eval model=lora-1 data=held-out.jsonl generate=true generate.rows=50
  apertis eval a.model=./base b.model=lora-1 data=held-out.jsonl

generate=true also answers the rows' questions and scores exact match, token F1 and ROUGE-L.
  generate.rows=N     rows answered at most [default: 100]
  generate.tokens=N   longest answer [default: 128]
  generate.regex=…    count answers that match
  generate.json=true  count answers that are JSON")]
pub(crate) struct EvalArguments {
    /// model=… data=… and other fields of a recipe
    #[arg(value_name = "KEY=VALUE", required = true)]
    pub(crate) assignments: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  apertis run lora-1
  apertis run ./model \"Why is the sky blue?\"
  echo \"Summarise: …\" | apertis run lora-1")]
pub(crate) struct RunArguments {
    /// A model folder, a model's name, or a run
    pub(crate) model: String,
    /// Answer this and end
    pub(crate) prompt: Option<String>,
    /// Continue the prompt as it is, without a chat template
    #[arg(long)]
    pub(crate) raw: bool,
    /// Randomness of the choice; 0 takes the most likely
    #[arg(long)]
    pub(crate) temperature: Option<f32>,
    /// Longest answer, in tokens
    #[arg(long)]
    pub(crate) max_tokens: Option<usize>,
    /// Choose among this many of the likeliest tokens; 0 takes all
    #[arg(long)]
    pub(crate) top_k: Option<usize>,
    /// Choose among the likeliest tokens that together have this probability
    #[arg(long)]
    pub(crate) top_p: Option<f32>,
    /// Leave out tokens below this share of the likeliest one's probability
    #[arg(long)]
    pub(crate) min_p: Option<f32>,
    /// Choose among the least surprising tokens that together have this probability
    #[arg(long)]
    pub(crate) typical_p: Option<f32>,
    /// Make tokens that stood before less likely; 1 is off
    #[arg(long)]
    pub(crate) repeat_penalty: Option<f32>,
    /// Taken off tokens that the answer already has
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) presence_penalty: Option<f32>,
    /// Taken off tokens for each time that the answer has them
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) frequency_penalty: Option<f32>,
    /// Makes an answer repeatable
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// End the answer before this text; may be given several times
    #[arg(long)]
    pub(crate) stop: Vec<String>,
    /// Print how likely each token was, and this many alternatives
    #[arg(long, value_name = "COUNT")]
    pub(crate) logprobs: Option<usize>,
    /// f32, bf16 or auto
    #[arg(long, default_value = "auto")]
    pub(crate) precision: String,
    /// Threads [default: all cores]
    #[arg(long, default_value_t = 0)]
    pub(crate) threads: usize,
    /// Print times and tokens a second
    #[arg(long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogitsArguments {
    /// model=… ids=1,2,3 [decode=true] [precision=f32]
    #[arg(value_name = "KEY=VALUE", required = true)]
    pub(crate) assignments: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct NameArguments {
    /// Name of the run [default: the latest]
    pub(crate) run: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct StopArguments {
    /// Name of the run
    pub(crate) run: String,
    /// Stop without saving
    #[arg(long)]
    pub(crate) now: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AssignmentArguments {
    /// Fields of a recipe as key=value, such as data=… and model=…
    #[arg(value_name = "KEY=VALUE", required = true)]
    pub(crate) assignments: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// A model folder, a model's name, or a run
    pub(crate) model: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  apertis completions bash > ~/.local/share/bash-completion/completions/apertis")]
pub(crate) struct CompletionsArguments {
    /// Which shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  apertis bench run model=./SmolLM2-135M
  apertis bench train model=./SmolLM2-135M data=chats.jsonl batch_size=8

Without data, `bench train` makes a text of its own.")]
pub(crate) struct BenchArguments {
    /// What is measured
    pub(crate) what: BenchWhat,
    /// model=… and other fields of a recipe
    #[arg(value_name = "KEY=VALUE", required = true)]
    pub(crate) assignments: Vec<String>,
}

/// What `bench` measures.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum BenchWhat {
    /// Steps of training
    Train,
    /// Reading a prompt and answering
    Run,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct ServeArguments {
    /// Port of the studio; the next free one where it is taken [default: 8420]
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Address to listen on; other computers reach 0.0.0.0 [default: 127.0.0.1]
    #[arg(long)]
    pub(crate) host: Option<std::net::IpAddr>,
    /// Open no browser
    #[arg(long)]
    pub(crate) no_open: bool,
    /// A further name under which the studio is reached; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) known_as: Vec<String>,
    /// The address that people use, where a proxy stands before the studio
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// Address of a proxy whose word about addresses is believed; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) trusted_proxy: Vec<std::net::IpAddr>,
    /// Ask for a key on this computer too
    #[arg(long)]
    pub(crate) require_key: bool,
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct DatabaseArguments {
    /// A PostgreSQL in place of the file in the home [default: $APERTIS_DATABASE_URL, else the file]
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// The file
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
}

#[derive(Debug, Args)]
pub(crate) struct KeysArguments {
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    #[command(subcommand)]
    pub(crate) what: KeysVerb,
}

/// What is done with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysVerb {
    /// Make a key and print it, this once
    Create {
        /// What it is for
        name: String,
    },
    /// List keys
    List,
    /// Take a key back, and end the sessions that it opened
    Revoke {
        /// The key's id
        id: String,
    },
}
