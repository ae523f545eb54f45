//! The table: for each two operations what comes of the second while the first is in progress.
//!
//! The names are those of the table in the docs. Where an operation has several places at which it
//! can be held, every case is tried at each of them.

use crate::acts::{bk, ci, fo, gm, gs, pr, ra, ri, rm, um, ve};
use crate::cell::{
    Case,
    Expect::{
        GivesUp, Missing, Refused, Runs, RunsOrMissing, Skipped, Waits, WaitsAndMisses, Warned,
    },
    by_process, case,
};

macro_rules! table {
    ($($name:ident: [$($case:expr),+ $(,)?],)+) => {
        /// The names of all cells.
        pub const CELLS: &[&str] = &[$(stringify!($name)),+];

        #[allow(non_upper_case_globals, reason = "they are named after their cells")]
        mod cases {
            use super::*;
            $(pub const $name: &[Case] = &[$($case),+];)+
        }

        /// Both operations run in one process, with one handle of the store.
        mod same_process {
            use crate::{cell, holder::Where};
            $(#[test] fn $name() { cell::run(Where::SameProcess, super::cases::$name); })+
        }

        /// The operation in progress runs in another process.
        mod other_process {
            use crate::{cell, holder::Where};
            $(#[test] fn $name() { cell::run(Where::OtherProcess, super::cases::$name); })+
        }
    };
}

table! {
    // During reading of an index, which locks nothing.
    ri_ri: [case(ri("a3"), ri("a3"), Runs)],
    ri_ci: [case(ri("a3"), ci("a4"), Runs), case(ri("a3"), ci("c1"), Runs)],
    ri_gm: [case(ri("a3"), gm(), Runs)],
    ri_gs: [case(ri("a3"), gs(), Runs)],
    ri_um: [case(ri("a3"), um("a3"), Runs)],
    ri_fo: [case(ri("a3"), fo("a3"), Runs), case(ri("a1"), fo("a1"), Runs)],
    ri_pr: [case(ri("a1"), pr("a1"), Runs), case(ri("a3"), pr("a1"), Runs)],
    ri_bk: [case(ri("a3"), bk("a4"), Runs), case(ri("a3"), bk("b2"), Runs)],
    ri_ve: [case(ri("a3"), ve("a3"), Runs)],
    ri_ra: [case(ri("a3"), ra("a3"), Runs)],
    ri_rm: [case(ri("a3"), rm("a3"), Runs)],

    // During creation of an index, which is always part of a backup.
    ci_ri: [case(ci("a4"), ri("a4"), Missing), case(ci("a4"), ri("a3"), Runs)],
    ci_ci: [case(ci("a4"), ci("c1"), Runs), case(ci("a4"), ci("a5"), Refused)],
    ci_gm: [by_process(ci("a4"), gm(), Runs, Refused)],
    ci_gs: [by_process(ci("a4"), gs(), Runs, Refused)],
    ci_um: [case(ci("a4"), um("a3"), Runs), case(ci("a4"), um("a4"), Missing)],
    ci_fo: [
        case(ci("a4"), fo("a4"), Refused),
        case(ci("a4"), fo("a3"), Refused),
        case(ci("a4"), fo("a2"), Runs),
        case(ci("a4"), fo("b1"), Runs),
    ],
    ci_pr: [case(ci("a4"), pr("a1"), Runs), case(ci("c1"), pr("a1"), Runs)],
    ci_bk: [case(ci("a4"), bk("b2"), Runs), case(ci("a4"), bk("a5"), Refused)],
    ci_ve: [case(ci("a4"), ve("a4"), Skipped), case(ci("a4"), ve("a3"), Runs)],
    ci_ra: [case(ci("a4"), ra("a4"), Refused), case(ci("a4"), ra("a3"), Runs)],
    ci_rm: [case(ci("a4"), rm("a4"), Missing), case(ci("a4"), rm("a3"), Runs)],

    // During the marking of a collection.
    gm_ri: [case(gm(), ri("a3"), Runs)],
    gm_ci: [by_process(gm(), ci("a4"), Runs, Refused)],
    gm_gm: [case(gm(), gm(), Refused)],
    gm_gs: [case(gm(), gs(), Refused)],
    gm_um: [case(gm(), um("a3"), Runs)],
    gm_fo: [case(gm(), fo("a3"), Runs), case(gm(), fo("a1"), Runs), case(gm(), fo("b1"), Runs)],
    gm_pr: [case(gm(), pr("a1"), Runs)],
    gm_bk: [by_process(gm(), bk("a4"), Runs, Refused), by_process(gm(), bk("c1"), Runs, Refused)],
    gm_ve: [case(gm(), ve("a3"), Runs)],
    gm_ra: [case(gm(), ra("a3"), Runs)],
    gm_rm: [case(gm(), rm("a3"), Runs)],

    // During the sweep of a collection.
    gs_ri: [case(gs(), ri("a3"), Runs)],
    gs_ci: [by_process(gs(), ci("a4"), Runs, Refused)],
    gs_gm: [case(gs(), gm(), Refused)],
    gs_gs: [case(gs(), gs(), Refused)],
    gs_um: [case(gs(), um("a3"), Runs)],
    gs_fo: [case(gs(), fo("a3"), Runs), case(gs(), fo("b1"), Runs)],
    gs_pr: [case(gs(), pr("a1"), Runs)],
    gs_bk: [by_process(gs(), bk("a4"), Runs, Refused), by_process(gs(), bk("c1"), Runs, Refused)],
    gs_ve: [case(gs(), ve("a3"), Runs)],
    gs_ra: [case(gs(), ra("a3"), Runs)],
    gs_rm: [case(gs(), rm("a3"), Runs)],

    // While a manifest is changed.
    um_ri: [case(um("a3"), ri("a3"), Runs)],
    um_ci: [case(um("a3"), ci("a4"), Runs)],
    um_gm: [case(um("a3"), gm(), Runs)],
    um_gs: [case(um("a3"), gs(), Runs)],
    um_um: [
        case(um("a3"), um("a3"), Waits),
        case(um("a3"), um("a2"), Runs),
        case(um("a3"), um("a3"), GivesUp).at(1),
    ],
    um_fo: [
        case(um("a3"), fo("a3"), Waits),
        case(um("a3"), fo("a2"), Runs),
        case(um("a3"), fo("a3"), GivesUp).at(1),
    ],
    um_pr: [
        case(um("a1"), pr("a1"), Waits),
        case(um("a3"), pr("a1"), Runs),
        case(um("a1"), pr("a1"), GivesUp).at(1),
    ],
    um_bk: [case(um("a3"), bk("a4"), Runs), case(um("a3"), bk("b2"), Runs)],
    // The verification itself runs; it waits when it records its result.
    um_ve: [case(um("a3"), ve("a3"), Waits), case(um("a3"), ve("a2"), Runs)],
    um_ra: [case(um("a3"), ra("a3"), Runs)],
    um_rm: [case(um("a3"), rm("a3"), Runs)],

    // While a snapshot is removed.
    fo_ri: [case(fo("a3"), ri("a3"), RunsOrMissing), case(fo("a3"), ri("a2"), Runs)],
    fo_ci: [case(fo("a1"), ci("a4"), Runs), case(fo("a3"), ci("c1"), Runs)],
    fo_gm: [case(fo("a3"), gm(), Runs), case(fo("b1"), gm(), Runs)],
    fo_gs: [case(fo("a3"), gs(), Runs)],
    fo_um: [case(fo("a3"), um("a3"), WaitsAndMisses), case(fo("a3"), um("a2"), Runs)],
    fo_fo: [case(fo("a3"), fo("a3"), Refused), case(fo("a3"), fo("a2"), Runs)],
    fo_pr: [case(fo("a1"), pr("a1"), Warned), case(fo("b1"), pr("a1"), Runs)],
    // Once its manifest is gone, what is removed is no base any more.
    fo_bk: [
        case(fo("a3"), bk("a4"), Refused).at(0),
        case(fo("a3"), bk("a4"), Runs).at(1),
        case(fo("a1"), bk("a4"), Runs),
        case(fo("a3"), bk("b2"), Runs),
    ],
    fo_ve: [case(fo("a3"), ve("a3"), Skipped), case(fo("a3"), ve("a2"), Runs)],
    fo_ra: [case(fo("a3"), ra("a3"), Refused), case(fo("a3"), ra("a2"), Runs)],
    fo_rm: [case(fo("a3"), rm("a3"), RunsOrMissing), case(fo("a3"), rm("a2"), Runs)],

    // While a prune removes a snapshot.
    pr_ri: [case(pr("a1"), ri("a1"), RunsOrMissing), case(pr("a2"), ri("a1"), Missing)],
    pr_ci: [case(pr("a1"), ci("a4"), Runs), case(pr("a2"), ci("c1"), Runs)],
    pr_gm: [case(pr("a1"), gm(), Runs), case(pr("a2"), gm(), Runs)],
    pr_gs: [case(pr("a1"), gs(), Runs), case(pr("a2"), gs(), Runs)],
    pr_um: [case(pr("a1"), um("a1"), WaitsAndMisses), case(pr("a1"), um("a3"), Runs)],
    pr_fo: [
        case(pr("a1"), fo("a1"), Refused),
        case(pr("a2"), fo("a1"), Missing),
        // What the prune comes to later is gone by then.
        case(pr("a1"), fo("a2"), Runs).first_warns(),
        case(pr("a1"), fo("a3"), Runs),
    ],
    pr_pr: [case(pr("a1"), pr("a1"), Warned).first_warns(), case(pr("a2"), pr("a2"), Warned)],
    pr_bk: [case(pr("a1"), bk("a4"), Runs), case(pr("a2"), bk("b2"), Runs)],
    pr_ve: [case(pr("a1"), ve("a1"), Skipped), case(pr("a1"), ve("a3"), Runs)],
    pr_ra: [case(pr("a1"), ra("a1"), Refused), case(pr("a1"), ra("a3"), Runs)],
    pr_rm: [case(pr("a1"), rm("a1"), RunsOrMissing), case(pr("a2"), rm("a1"), Missing)],

    // During a backup.
    bk_ri: [case(bk("a4"), ri("a3"), Runs), case(bk("a4"), ri("b1"), Runs)],
    // An index is only made in a backup session, and there can be one in a group.
    bk_ci: [case(bk("a4"), ci("a5"), Refused), case(bk("a4"), ci("b2"), Runs)],
    bk_gm: [by_process(bk("a4"), gm(), Runs, Refused)],
    bk_gs: [by_process(bk("a4"), gs(), Runs, Refused)],
    bk_um: [case(bk("a4"), um("a4"), Missing), case(bk("a4"), um("a3"), Runs)],
    bk_fo: [
        case(bk("a4"), fo("a4"), Refused),
        case(bk("a4"), fo("a3"), Refused),
        case(bk("a4"), fo("a2"), Runs),
        case(bk("a4"), fo("b1"), Runs),
    ],
    bk_pr: [case(bk("a4"), pr("a1"), Runs), case(bk("b2"), pr("a1"), Runs)],
    bk_bk: [case(bk("a4"), bk("a5"), Refused), case(bk("a4"), bk("b2"), Runs)],
    bk_ve: [
        case(bk("a4"), ve("a4"), Skipped),
        case(bk("a4"), ve("a3"), Runs),
        case(bk("a4"), ve("b1"), Runs),
    ],
    bk_ra: [
        case(bk("a4"), ra("a4"), Refused),
        case(bk("a4"), ra("a3"), Runs),
        case(bk("a4"), ra("b1"), Runs),
    ],
    bk_rm: [case(bk("a4"), rm("a4"), Missing), case(bk("a4"), rm("a3"), Runs)],

    // During a verification.
    ve_ri: [case(ve("a3"), ri("a3"), Runs)],
    ve_ci: [case(ve("a3"), ci("a4"), Runs)],
    ve_gm: [case(ve("a3"), gm(), Runs)],
    ve_gs: [case(ve("a3"), gs(), Runs)],
    ve_um: [case(ve("a3"), um("a3"), Runs)],
    ve_fo: [case(ve("a3"), fo("a3"), Refused), case(ve("a3"), fo("a2"), Runs)],
    ve_pr: [case(ve("a1"), pr("a1"), Warned), case(ve("a3"), pr("a1"), Runs)],
    ve_bk: [case(ve("a3"), bk("a4"), Runs), case(ve("a3"), bk("c1"), Runs)],
    ve_ve: [case(ve("a3"), ve("a3"), Runs), case(ve("a3"), ve("a2"), Runs)],
    ve_ra: [case(ve("a3"), ra("a3"), Runs)],
    ve_rm: [case(ve("a3"), rm("a3"), Runs)],

    // While a snapshot is read.
    ra_ri: [case(ra("a3"), ri("a3"), Runs)],
    ra_ci: [case(ra("a3"), ci("a4"), Runs)],
    ra_gm: [case(ra("a3"), gm(), Runs)],
    ra_gs: [case(ra("a3"), gs(), Runs)],
    ra_um: [case(ra("a3"), um("a3"), Runs)],
    ra_fo: [case(ra("a3"), fo("a3"), Refused), case(ra("a3"), fo("a2"), Runs)],
    ra_pr: [case(ra("a1"), pr("a1"), Warned), case(ra("a3"), pr("a1"), Runs)],
    ra_bk: [case(ra("a3"), bk("a4"), Runs), case(ra("a3"), bk("b2"), Runs)],
    ra_ve: [case(ra("a3"), ve("a3"), Runs)],
    ra_ra: [case(ra("a3"), ra("a3"), Runs)],
    ra_rm: [case(ra("a3"), rm("a3"), Runs)],

    // While a manifest is read, which locks nothing.
    rm_ri: [case(rm("a3"), ri("a3"), Runs)],
    rm_ci: [case(rm("a3"), ci("a4"), Runs)],
    rm_gm: [case(rm("a3"), gm(), Runs)],
    rm_gs: [case(rm("a3"), gs(), Runs)],
    rm_um: [case(rm("a3"), um("a3"), Runs)],
    rm_fo: [case(rm("a3"), fo("a3"), Runs)],
    rm_pr: [case(rm("a1"), pr("a1"), Runs)],
    rm_bk: [case(rm("a3"), bk("a4"), Runs)],
    rm_ve: [case(rm("a3"), ve("a3"), Runs)],
    rm_ra: [case(rm("a3"), ra("a3"), Runs)],
    rm_rm: [case(rm("a3"), rm("a3"), Runs)],
}
