using KantaGateway.Audit;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Keys.Backends;

namespace KantaGateway.Keys.Custody;

/// <remarks>
/// A register that was brought back from a backup lacks who was registered after it. The mark <c>restored</c> in the folder says so: nobody new gets a number until a store has told of everybody in it, by what stands behind each wrapped data key. Only this
/// service can have sealed that, so whoever is found by it proves that this is an older register, and makes the mark if there is none. Whoever was begun anew meanwhile keeps the number by which they are found, and the register
/// knows of the other one too.
/// </remarks>
sealed partial class KnownPeople
{
    private readonly string _mark = Path.Combine(folder, "restored");
    private volatile bool _isLacking;

    /// <summary>Whether it was brought back from a backup, and those may be missing who were registered after it: nobody new gets a number until a repository has told of everybody in its store.</summary>
    public bool IsLacking => _isLacking;

    /// <summary>Whether somebody may have a number of whom it is not known now.</summary>
    public bool MayLack => _isLacking || HasNameless;

    /// <summary>Whether somebody has a number, who is registered if what a store has behind their key says who they are.</summary>
    /// <exception cref="KeyBackendException">The backend does not answer.</exception>
    /// <exception cref="IOException">They may not be on disk. Ask again.</exception>
    public async ValueTask<bool> HasAsync(Pseudonym number, ReadOnlyMemory<byte> stored, CancellationToken cancel)
    {
        if (number.IsDirectory || IsKnown(number))
            return true;
        if (!stored.IsEmpty)
            await FindAgainAsync([(number, stored)], cancel).ConfigureAwait(false);
        return IsKnown(number);
    }

    /// <summary>What stands behind a person's wrapped data key in the store, by which a register that lacks the person has them again.</summary>
    /// <param name="wrapped">Without it.</param>
    /// <param name="number">Whose key it is.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <param name="stored">What stands behind the key that is in a store already; null: none is, and somebody has the number.</param>
    /// <returns>The same where they are erased; where nobody has the number, with what is stored.</returns>
    /// <exception cref="KeyBackendException">The backend does not answer, or nobody has the number any more.</exception>
    /// <exception cref="IOException">The register cannot be read.</exception>
    public async ValueTask<byte[]> WithPersonAsync(byte[] wrapped, Pseudonym number, CancellationToken cancel, ReadOnlyMemory<byte>? stored = null)
    {
        for (var attempt = 1; ; attempt++)
        {
            int place;
            bool isKnown;
            ChainedRecords? file;
            lock (_gate)
            {
                isKnown = _people.TryGetValue(number, out place);
                file = (place & 1) == (_generation & 1) ? _whole : _next;
            }
            if (!isKnown)
                return stored is { } behind ? [.. wrapped, .. await AnewAsync(behind, number, cancel).ConfigureAwait(false)]
                    : number.IsDirectory ? wrapped : throw new KeyBackendException("Nobody has this number any more.");
            try
            {
                if (file?.Read(place >> 1, 1) is not [var record] || records.NumberIn(record) != number)
                    throw new IOException("The register of people cannot be read.");
                if (PersonRecords.KindIn(record) == PersonKind.Erased)
                    return wrapped;
                var sealedCode = PersonRecords.SealedIn(record);
                if (WrappedKey.VersionOf(sealedCode) != wrapping.Current)
                    sealedCode = await keys.SealPersonAsync(await CodeInAsync(record, number, cancel).ConfigureAwait(false), number, cancel).ConfigureAwait(false);
                return [.. wrapped, .. sealedCode];
            }
            catch (FileNotFoundException) when (attempt < 3)
            {
                // Another file has taken its place just now, and everybody is in it.
            }
        }
    }

    /// <summary>What stands behind a stored key, sealed with the current wrapping key; as it is where it does not open, for it may when a key is brought back.</summary>
    private async ValueTask<byte[]> AnewAsync(ReadOnlyMemory<byte> stored, Pseudonym number, CancellationToken cancel) =>
        !stored.IsEmpty && WrappedKey.VersionOf(stored.Span) != wrapping.Current && await keys.OpenPersonAsync(stored, number, cancel).ConfigureAwait(false) is { } code
            ? await keys.SealPersonAsync(code, number, cancel).ConfigureAwait(false) : stored.ToArray();

    /// <summary>Registers those whom the register lacks and a store knows; on disk when this returns. Only this service can have sealed what says which number is whose, so it knew them once: others may be lacking too.</summary>
    /// <exception cref="KeyBackendException">The backend does not answer.</exception>
    /// <exception cref="IOException">They may not be on disk. Say it again.</exception>
    public async Task FindAgainAsync(IEnumerable<(Pseudonym Number, ReadOnlyMemory<byte> Sealed)> stored, CancellationToken cancel)
    {
        var (found, nobodys) = (new List<Asked>(), 0);
        foreach (var part in stored.Where(one => !one.Number.IsDirectory && !IsKnown(one.Number)).Chunk(AtOnce))
            foreach (var asked in await Task.WhenAll(part.Select(one => OpenedAsync(one.Number, one.Sealed).AsTask())).ConfigureAwait(false))
                if (asked is not null)
                    found.Add(asked);
                else
                    nobodys++;
        if (nobodys > 0 && _isLacking)
            LogNobodys(nobodys);
        foreach (var asked in found)
            await AnswerAsync(asked).ConfigureAwait(false);

        async ValueTask<Asked?> OpenedAsync(Pseudonym number, ReadOnlyMemory<byte> sealedCode) =>
            await keys.OpenPersonAsync(sealedCode, number, cancel).ConfigureAwait(false) is { } code ? await AskAsync(code, number, [], cancel, sealedCode).ConfigureAwait(false) : null;
    }

    /// <summary>Somebody is known to have been registered whom the register lacks: it is an older one. Lasts when this returns.</summary>
    /// <exception cref="IOException">It may not.</exception>
    public Task HasLostAsync(CancellationToken cancel) => InTurnAsync(() =>
    {
        Lacks();
        return Task.CompletedTask;
    }, cancel);

    /// <summary>Nobody is missing any more: a repository has told of everybody in its store. Lasts when this returns.</summary>
    /// <exception cref="IOException">It may not.</exception>
    public Task HasEverybodyAsync(CancellationToken cancel) => InTurnAsync(() =>
    {
        if (_isLacking)
        {
            File.Delete(_mark);
            OwnerOnly.FlushFolder(_mark);
            _isLacking = false;
        }
        return Task.CompletedTask;
    }, cancel);

    /// <summary>Somebody has put an older folder in the place of this one, and said nothing.</summary>
    private void Lacks()
    {
        if (_isLacking)
            return;
        OwnerOnly.OpenFile(_mark, FileShare.None).Dispose();
        OwnerOnly.FlushFolder(_mark);
        _isLacking = true;
        LogLacking();
    }

    private static KeyBackendException Lacking() => new("The register was brought back from a backup: nobody new gets a number until it is known who may be missing.");
}
