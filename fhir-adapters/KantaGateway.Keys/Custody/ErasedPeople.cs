using System.Buffers.Binary;
using System.Security.Cryptography;
using KantaGateway.Audit;

namespace KantaGateway.Keys.Custody;

/// <summary>
/// Whose data keys are destroyed: for them none is made, opened or wrapped anew, whatever copy of the store it comes from. Thread-safe.
/// </summary>
/// <remarks>
/// <c>erased</c> in the custody folder, only added to: 64 bytes each, the digest of the person (16), of the act (16), the time in milliseconds since the epoch (8, big-endian), and an
/// HMAC over that and the one before it (24), whose key is made by the pseudonym key. It names nobody.
/// </remarks>
sealed class ErasedPeople(string folder, byte[] macKey)
{
    private const int Size = 64, MacAt = 40;

    private readonly Lock _turn = new();
    private readonly string _path = Path.Combine(folder, "erased");
    private volatile HashSet<Digest> _erased = [];
    private byte[] _last = new byte[Size - MacAt];

    /// <summary>Reads what is erased.</summary>
    /// <param name="isFounded">Whether the service has been at work before; if not, the file is begun.</param>
    /// <exception cref="InvalidOperationException">The file is gone, or not as this service left it; says what to do.</exception>
    public void Open(bool isFounded)
    {
        if (!isFounded && !File.Exists(_path))
            OwnerOnly.WriteWhole(_path, [], overwrite: false);
        if (!File.Exists(_path))
            throw new InvalidOperationException($"There is no {_path}, which says whose keys are destroyed: bring it back from where it was kept.");
        var bytes = File.ReadAllBytes(_path);
        var erased = new HashSet<Digest>();
        // A kill may have left a part of a record: nobody was told that it was there.
        for (var at = 0; at + Size <= bytes.Length; at += Size)
        {
            var record = bytes.AsSpan(at, Size);
            if (!CryptographicOperations.FixedTimeEquals(record[MacAt..], MacOf(record)))
                throw new InvalidOperationException($"{_path} is not as this key service wrote it: bring it back from where it was kept.");
            _last = record[MacAt..].ToArray();
            erased.Add(new(BinaryPrimitives.ReadUInt128BigEndian(record)));
        }
        _erased = erased;
    }

    public bool Contains(Digest person) => _erased.Contains(person);

    /// <summary>Adds one; on disk, and in force, when this returns. Said again, it adds nothing.</summary>
    /// <exception cref="IOException">It may not be on disk. Say it again.</exception>
    public void Add(Digest person, Digest act, DateTimeOffset at)
    {
        lock (_turn)
        {
            if (_erased.Contains(person))
                return;
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
    }

    private ReadOnlySpan<byte> MacOf(ReadOnlySpan<byte> record) => HMACSHA256.HashData(macKey, (byte[])[.. _last, .. record[..MacAt]]).AsSpan(0, Size - MacAt);
}
