//! The pure pieces of the hot path: no database, no sockets, no threads.

use benches::pieces::PIECES;
use benches::support::settings;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn hot_path(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hot-path");
    for piece in PIECES {
        group.throughput(Throughput::Elements(piece.items.into()));
        let mut work = None;
        group.bench_function(BenchmarkId::new(piece.name, piece.items), |bencher| {
            let work = work.get_or_insert_with(|| (piece.prepare)(piece.items));
            bencher.iter(work);
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = settings(50); targets = hot_path }
criterion_main!(benches);
