using System.Buffers.Binary;
using System.Security.Cryptography;
using KantaGateway.Audit;
using KantaGateway.Keys.Ceremonies;

namespace KantaGateway.Keys.Custody;

/// <summary>
/// Whose data keys are destroyed: for them none is made, opened or wrapped anew, whatever copy of the store it comes from. Thread-safe.
/// </summary>
/// <remarks>
/// <c>erased</c> in the custody folder, only added to: 64 bytes each, the digest of the person (16), of the act (16), the time in milliseconds since the epoch (8, big-endian), and an
/// HMAC over that and the one before it (24), whose key is made by the pseudonym key. It names nobody. Where it ends stands in the record of the ceremonies, which no start goes without.
/// A backup of the folder knows nothing of who is erased after it: that comes from the copy, which is as long or longer.
/// </remarks>
/// <param name="copy">A second file of the same, away from the folder and its backups; null: none is kept.</param>
sealed class ErasedPeople(string folder, string? copy, byte[] macKey, KeyCeremonies ceremonies) : IDisposable
{
    private const int Size = 64, MacAt = 40;

    private readonly SemaphoreSlim _turn = new(1);
    private readonly string _path = Path.Combine(folder, "erased");
    private volatile HashSet<Digest> _erased = [];
    private byte[] _last = new byte[Size - MacAt];

    /// <summary>Reads what is erased. No file: nobody is.</summary>
    /// <param name="onRecord">Whose key the custody log says is destroyed. Asked where the ceremonies do not say where the file ends: the service was founded before there were erasures, or there is no record of it.</param>
    /// <exception cref="InvalidOperationException">The file, or its copy, is not as this service left it; says what to do.</exception>
    public void Open(IEnumerable<Digest> onRecord)
    {
        var bytes = WholeRecordsOf(_path);
        if (copy is not null && WholeRecordsOf(copy) is var kept && kept.Length > bytes.Length)
        {
            if (!kept.AsSpan().StartsWith(bytes))
                throw NotAsItWas();
            bytes = kept;
        }
        var erased = new HashSet<Digest>();
        var end = ceremonies.Erased;
        var isWhole = end is null or { Count: 0 };
        for (var at = 0; at < bytes.Length; at += Size)
        {
            var record = bytes.AsSpan(at, Size);
            if (!CryptographicOperations.FixedTimeEquals(record[MacAt..], MacOf(record)))
                throw NotAsItWas();
            _last = record[MacAt..].ToArray();
            erased.Add(new(BinaryPrimitives.ReadUInt128BigEndian(record)));
            isWhole |= erased.Count == end?.Count && CryptographicOperations.FixedTimeEquals(_last, end.Mac);
        }
        if (!isWhole || (end is null && !onRecord.All(erased.Contains)))
            throw NotAsItWas();
        _erased = erased;
    }

    public bool Contains(Digest person) => _erased.Contains(person);

    /// <summary>Brings each of the two files to where the other is, and has the ceremonies keep where they end, if they do not say it already.</summary>
    /// <exception cref="IOException">It may not be on disk.</exception>
    public async Task KeepEndAsync()
    {
        if (copy is not null)
        {
            Continue(_path, copy);
            Continue(copy, _path);
        }
        if (ceremonies.Erased?.Count != _erased.Count)
            await ceremonies.KeepAsync(erased: new ChainEnd(_erased.Count, _last)).ConfigureAwait(false);
    }

    // A kill may have left a part of a record: nobody was told that it was there.
    private static byte[] WholeRecordsOf(string path) => File.Exists(path) ? File.ReadAllBytes(path) is var bytes && bytes.Length % Size is > 0 and var part ? bytes[..^part] : bytes : [];

    private static void Continue(string from, string to)
    {
        var records = WholeRecordsOf(from);
        if (records.Length == 0)
            return;
        using var file = OwnerOnly.OpenFile(to, FileShare.Read);
        if (file.Length - file.Length % Size is var end && end >= records.Length)
            return;
        file.SetLength(end);
        file.Seek(0, SeekOrigin.End);
        file.Write(records.AsSpan((int)end));
        file.Flush(flushToDisk: true);
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
        MacOf(record).CopyTo(record.AsSpan(MacAt));
        using (var file = OwnerOnly.OpenFile(_path, FileShare.Read))
        {
            if (file.Length < (long)_erased.Count * Size)
                throw new IOException("The file of those whose keys are destroyed is shorter than it was.");
            file.SetLength((long)_erased.Count * Size);
            file.Seek(0, SeekOrigin.End);
            file.Write(record);
            file.Flush(flushToDisk: true);
        }
        _last = record[MacAt..];
        _erased = [.. _erased, person];
    }

    private ReadOnlySpan<byte> MacOf(ReadOnlySpan<byte> record) => HMACSHA256.HashData(macKey, (byte[])[.. _last, .. record[..MacAt]]).AsSpan(0, Size - MacAt);

    private InvalidOperationException NotAsItWas() =>
        new($"{_path}, which says whose keys are destroyed, is not there or not as this key service wrote it: bring it back, with ceremonies.json beside it, from where it was kept.");
}
