//! Every shape that crosses a wire. The OpenAPI document, and from it the TypeScript types of the
//! page, are made of these; nothing here does anything.
//!
//! Every request that changes something, `DELETE` and those without a body included, carries
//! `content-type: application/json` (an upload `application/octet-stream`), else the answer is 415.
//!
//! Times are RFC 3339 texts in UTC, durations milliseconds or seconds as the name says, sizes bytes,
//! losses nats a target token. Numbers that are not finite are `null`.
//!
//! | path under `/api/v1` | body → answer |
//! |---|---|
//! | `GET session`, `POST session`, `DELETE session`, `POST session/phone` | → [`session::Session`]; [`session::Login`]; [`session::PhoneCode`] |
//! | `GET home` | → [`home::HomePage`] |
//! | `GET runs` | [`run::RunQuery`] → [`page::Page`] of [`run::RunRow`] |
//! | `POST runs` | [`run::NewRun`] → [`run::Run`] |
//! | `GET runs/{id}`, `PATCH`, `DELETE` | [`run::RunChange`] with `If-Match` → [`run::Run`] |
//! | `GET runs/{id}/dependents` | → [`run::Dependent`]s: what stands on it |
//! | `POST runs/{id}/commands` | [`run::RunCommand`] → [`run::CommandAnswer`] |
//! | `POST runs/{id}/resume`, `…/clone`, `…/restore` | → [`run::Run`] or [`recipe::RecipeForm`] |
//! | `GET runs/{id}/reproduce` | → [`run::Reproduction`]: what differs from then |
//! | `GET runs/{id}/metrics` | [`metric::MetricQuery`] → [`metric::Metrics`] |
//! | `GET runs/{id}/events`, `samples`, `batches`, `coach`, `files`, `log`, `recipe` | see [`run`], [`metric`] |
//! | `GET runs/{id}/files/{path}` | the file, as a download; `report.html?view=frame` to be framed |
//! | `GET compare` | [`compare::CompareQuery`] → [`compare::Comparison`] |
//! | `GET catalogue` | → [`recipe::Catalogue`] |
//! | `POST recipe` | [`recipe::RecipeDraft`] → [`recipe::RecipeForm`] |
//! | `GET presets`, `PUT presets/{name}`, `DELETE` | [`recipe::NewPreset`] → [`recipe::Preset`]s |
//! | `POST plan` | [`recipe::RecipeDraft`] → [`plan::Plan`] (estimated; measured is a job) |
//! | `GET models`, `GET data`, `GET data/{name}/rows`, `POST data` (upload; a job counts its rows) | see [`library`] |
//! | `GET queue`, `PUT queue` | [`queue::QueueChange`] with `If-Match` → [`queue::Queue`] |
//! | `POST sweeps`, `GET sweeps/{id}` | [`queue::SweepDraft`] → [`queue::Sweep`] |
//! | `GET jobs`, `POST jobs`, `GET jobs/{id}`, `POST jobs/{id}/cancel`, `…/again`, `GET jobs/{id}/log` | [`job::Job`] |
//! | `POST system/cleanup` | [`system::Cleanup`] → [`system::DiskUse`] |
//! | `GET system`, `GET settings`, `PATCH settings`, `GET keys`, `POST keys`, `DELETE keys/{id}` | see [`system`] |

pub mod compare;
pub mod error;
pub mod home;
pub mod job;
pub mod library;
pub mod live;
pub mod metric;
pub mod page;
pub mod plan;
pub mod queue;
pub mod recipe;
pub mod run;
pub mod session;
pub mod system;

/// Most bytes of a JSON body.
pub const BODY_BYTES_MAX: usize = 4 << 20;
