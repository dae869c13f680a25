//! Solutions of `frozen-health` that competent people could have written: the wrong ones must be exposed, the right ones come out clean.

use super::*;

corpus! {
    async fn render(history: OrderHistory) -> Result<Vec<u8>, RenderError>;

    cached_per_user "cached-per-user" Tempting "Renders a user's report once and keeps it."
    stale_when_busy "stale-when-busy" Tempting "Answers with the user's last report when no slot is free."
    short_when_busy "short-when-busy" Tempting "Answers with a short report when no slot is free."
    shared_rendering "shared-rendering" Tempting "One rendering serves all who ask while it goes on."
    newest_twenty "newest-twenty" Tempting "Renders the newest twenty orders."
    without_items "without-items" Tempting "Leaves the items, and so the large codes, out of the pages."
    oldest_first "oldest-first" Tempting "Renders in slots, and the oldest order first."
    blocking_pool "blocking-pool" Tempting "Renders on tokio's blocking threads, as many as there are requests."
    thread_each "thread-each" Tempting "Renders each report on a thread of its own."
    block_in_place "block-in-place" Tempting "Tells tokio that the handler is about to block."
    own_runtime "own-runtime" Tempting "Renders on a runtime of its own, with one worker."
    patient_semaphore "patient-semaphore" Tempting "Renders on a bounded number of blocking threads; whoever comes later waits."
    long_line "long-line" Tempting "One rendering thread with a line of at most a thousand reports."
    paced_pages "paced-pages" Tempting "Sleeps after each page for as long as the page took."
    yield_with_deadline "yield-with-deadline" Tempting "Yields after each page and refuses what is not done in time."
    time_slots "time-slots" Tempting "Begins one report a second and refuses what would wait for longer than half of one."
    circuit_breaker "circuit-breaker" Tempting "Stops trying after three refusals in a row, until a report succeeds."
    cool_down "cool-down" Tempting "Refuses everybody for five seconds after a refusal."
    counted_slots "counted-slots" Tempting "Counts the reports that are being made and refuses more than half of the processors."
    slot_with_the_request "slot-with-the-request" Tempting "Renders in slots that belong to the requests."
    shifted_answers "shifted-answers" Tempting "One renderer whose answers are taken in turn, also those that nobody waits for any more."
    joined_in_line "joined-in-line" Tempting "Who asks for a report that waits in line gets that one."
    short_on_the_spot "short-on-the-spot" Tempting "Renders short reports in the handler, long ones on a bounded number of threads."
    waiting_gate "waiting-gate" Tempting "Waits for a slot with a condition variable, on the worker."

    render_threads "render-threads" Fixed "Rendering threads of its own, behind a short line."
    one_renderer "one-renderer" Fixed "One rendering thread and a channel of four; a full channel refuses."
    page_by_page "page-by-page" Fixed "Each page a job for a blocking thread, each report behind a semaphore."
    bounded_block_in_place "bounded-block-in-place" Fixed "Blocks in place, behind a semaphore."
    at_once_or_not "at-once-or-not" Fixed "Renders on a blocking thread if a slot is free, and refuses at once if none is."
    single_flight "single-flight" Fixed "Requests for the same report share its rendering; renderings have slots."
    remembered "remembered" Fixed "Keeps the last few reports with what they were made of; others are rendered in slots."
    worker_threads "worker-threads" Fixed "Threads of its own, a short line, and no page for who has left."
    places_and_slots "places-and-slots" Fixed "block_in_place behind a bounded line and a bounded number of renderers."
    same_content "same-content" Fixed "Keeps reports by all that is in them, in bounded memory."
    turns "turns" Fixed "A page a turn on the workers, of a bounded number of reports."
}
