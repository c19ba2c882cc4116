using System.Buffers.Binary;
using KantaGateway.Keys.Ceremonies;

namespace KantaGateway.Keys.Custody;

/// <summary>
/// Whose data keys are destroyed: for them none is made, opened or wrapped anew, whatever copy of the store it comes from. Thread-safe.
/// </summary>
/// <remarks>
/// <c>erased</c> in the custody folder, <see cref="ChainedRecords"/> of 64 bytes: the digest of the person (16), of the act (16), the time in milliseconds since the epoch (8, big-endian), and the
/// HMAC, whose key is made by the custody key. It names nobody. Where it ends stands in the record of the ceremonies, which no start goes without.
/// A backup of the folder knows nothing of who is erased after it: that comes from the copy, which is as long or longer.
/// </remarks>
/// <param name="copy">A second file of the same, away from the folder and its backups; null: none is kept.</param>
sealed class ErasedPeople(string folder, string? copy, byte[] macKey, KeyCeremonies ceremonies) : IDisposable
{
    private const int Size = 64;

    private readonly SemaphoreSlim _turn = new(1);
    private readonly ChainedRecords _records = new(Path.Combine(folder, "erased"), Size, macKey, copy);
    private volatile HashSet<Digest> _erased = [];

    /// <summary>Reads what is erased. No file: nobody is.</summary>
    /// <param name="onRecord">Whose key the custody log says is destroyed. Asked where the ceremonies do not say where the file ends: the service was founded before there were erasures, or there is no record of it.</param>
    /// <exception cref="InvalidOperationException">The file, or its copy, is not as this service left it; says what to do.</exception>
    public void Open(IEnumerable<Digest> onRecord)
    {
        var erased = new HashSet<Digest>();
        if (!_records.TryOpen(ceremonies.Erased, record => erased.Add(new(BinaryPrimitives.ReadUInt128BigEndian(record.Span)))) || (ceremonies.Erased is null && !onRecord.All(erased.Contains)))
            throw _records.Broken("whose keys are destroyed", nameof(KeysOptions.ErasedCopyFile));
        _erased = erased;
    }

    public bool Contains(Digest person) => _erased.Contains(person);

    public bool HasAny => _erased.Count > 0;

    /// <summary>Brings each of the two files to where the other is, and has the ceremonies keep where they end, if they do not say it already.</summary>
    /// <exception cref="IOException">It may not be on disk.</exception>
    public async Task KeepEndAsync()
    {
        _records.Level();
        if (ceremonies.Erased?.Count != _records.End.Count)
            await ceremonies.KeepAsync(erased: _records.End).ConfigureAwait(false);
    }

    /// <summary>Adds one; on disk, and in force, when this returns. Said again, it adds nothing.</summary>
    /// <exception cref="IOException">It may not be on disk. Say it again.</exception>
    public async Task AddAsync(Digest person, Digest act, DateTimeOffset at)
    {
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            if (!_erased.Contains(person))
                Append(person, act, at);
            await KeepEndAsync().ConfigureAwait(false);
        }
        finally
        {
            _turn.Release();
        }
    }

    public void Dispose() => _turn.Dispose();

    private void Append(Digest person, Digest act, DateTimeOffset at)
    {
        var record = new byte[Size];
        BinaryPrimitives.WriteUInt128BigEndian(record, person.Value);
        BinaryPrimitives.WriteUInt128BigEndian(record.AsSpan(16), act.Value);
        BinaryPrimitives.WriteInt64BigEndian(record.AsSpan(32), at.ToUnixTimeMilliseconds());
        _records.Append(record);
        _erased = [.. _erased, person];
    }
}
