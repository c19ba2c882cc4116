using System.Threading.Channels;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Repository.Storage;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Repository.Storage;

/// <summary>Passes everything on to the real database; what a test watches or breaks it overrides.</summary>
abstract class StoreInFront(ICompartmentStore real) : ICompartmentStore
{
    public virtual ValueTask<StoredIndex?> ReadIndexAsync(Pseudonym compartment, long after, CancellationToken cancel) => real.ReadIndexAsync(compartment, after, cancel);

    public ValueTask<StoredBody> ReadBodyAsync(Pseudonym compartment, long sequence, CancellationToken cancel) => real.ReadBodyAsync(compartment, sequence, cancel);

    public virtual ValueTask<StoredBodies> ReadBodiesAsync(Pseudonym compartment, IReadOnlyList<long> sequences, CancellationToken cancel) => real.ReadBodiesAsync(compartment, sequences, cancel);

    public virtual ValueTask<bool> AppendAsync(IReadOnlyList<CompartmentAppend> appends, CancellationToken cancel) => real.AppendAsync(appends, cancel);

    public virtual ValueTask StorePartAsync(Pseudonym compartment, Guid content, int number, ReadOnlyMemory<byte> sealedPart, CancellationToken cancel) =>
        real.StorePartAsync(compartment, content, number, sealedPart, cancel);

    public virtual ValueTask<int> ReadPartAsync(Pseudonym compartment, Guid content, int number, byte[] buffer, CancellationToken cancel) =>
        real.ReadPartAsync(compartment, content, number, buffer, cancel);

    public virtual ValueTask DropPartsAsync(Pseudonym compartment, Guid content, CancellationToken cancel) => real.DropPartsAsync(compartment, content, cancel);

    public virtual ValueTask SweepPartsAsync(Guid before, CancellationToken cancel) => real.SweepPartsAsync(before, cancel);

    public virtual ValueTask<IReadOnlyList<StoredKey>> ReadKeysAsync(uint version, Pseudonym? after, int most, CancellationToken cancel) => real.ReadKeysAsync(version, after, most, cancel);

    public ValueTask<StoredKeyCount> CountKeysAsync(uint version, CancellationToken cancel) => real.CountKeysAsync(version, cancel);

    public ValueTask<IReadOnlyList<CountedRows>> CountRowsAsync(Pseudonym? after, int most, CancellationToken cancel) => real.CountRowsAsync(after, most, cancel);

    public ValueTask<long> CountStraysAsync(CancellationToken cancel) => real.CountStraysAsync(cancel);

    public virtual ValueTask<int> ReplaceKeysAsync(IReadOnlyList<ReplacedKey> keys, CancellationToken cancel) => real.ReplaceKeysAsync(keys, cancel);

    public virtual ValueTask<bool> ResealAsync(ReplacedKey key, Func<StoredRow, SealedRow> seal, Func<long, Task> settle, CancellationToken cancel) => real.ResealAsync(key, seal, settle, cancel);

    public virtual ValueTask EraseAsync(Pseudonym compartment, CancellationToken cancel) => real.EraseAsync(compartment, cancel);

    public ValueTask PingAsync(CancellationToken cancel) => real.PingAsync(cancel);

    public ValueTask DisposeAsync() => real.DisposeAsync();

    /// <summary>Puts it before the database that the repository would open.</summary>
    public static void Put(WebApplicationBuilder builder, Func<ICompartmentStore, ICompartmentStore> inFront)
    {
        var real = builder.Services.Last(s => s.ServiceType == typeof(ICompartmentStore)).ImplementationFactory!;
        builder.Services.AddSingleton(s => inFront((ICompartmentStore)real(s)));
    }
}

/// <summary>Tells of every part when it is stored, dropped or looked for, after it is.</summary>
sealed class WatchedParts(ICompartmentStore real, WatchedParts.Watch watch) : StoreInFront(real)
{
    public sealed class Watch
    {
        public Channel<int> Stored { get; } = Channel.CreateUnbounded<int>();
        public Channel<Guid> Dropped { get; } = Channel.CreateUnbounded<Guid>();
        public Channel<Guid> Swept { get; } = Channel.CreateUnbounded<Guid>();
    }

    public override async ValueTask StorePartAsync(Pseudonym compartment, Guid content, int number, ReadOnlyMemory<byte> sealedPart, CancellationToken cancel)
    {
        await base.StorePartAsync(compartment, content, number, sealedPart, cancel);
        watch.Stored.Writer.TryWrite(number);
    }

    public override async ValueTask DropPartsAsync(Pseudonym compartment, Guid content, CancellationToken cancel)
    {
        await base.DropPartsAsync(compartment, content, cancel);
        watch.Dropped.Writer.TryWrite(content);
    }

    public override async ValueTask SweepPartsAsync(Guid before, CancellationToken cancel)
    {
        await base.SweepPartsAsync(before, cancel);
        watch.Swept.Writer.TryWrite(before);
    }
}
