using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Storage;
using KantaGateway.Audit.Tree;

namespace KantaGateway.Audit;

/// <summary>
/// That the content of the first entries of a log was taken away when its time was over (Act 703/2023 §24, Annex): a note that the log has signed. Their leaves stay, so the tree is what it was; what they were about nobody can say any more.
/// </summary>
/// <param name="Origin">Name of the log.</param>
/// <param name="Before">All entries with a smaller index; more than 0.</param>
/// <param name="Root">RFC 6962 root of these entries, 32 bytes: says of which history they are.</param>
/// <param name="Newest">When the newest of them was recorded, by its own word; UTC, whole milliseconds.</param>
/// <param name="At">When it was done, UTC, whole milliseconds; <see cref="IsOver"/> says that the time of all was over.</param>
/// <param name="Reason">In one line of at most <see cref="LongestReason"/> characters.</param>
public sealed record Pruning(string Origin, long Before, byte[] Root, DateTimeOffset Newest, DateTimeOffset At, string Reason)
{
    /// <summary>How long an entry is kept, from when it was recorded (Act 703/2023, Annex).</summary>
    public const int Years = 12;

    public const int LongestReason = 2_000;

    // No origin has a space: this is never taken for a checkpoint, nor a checkpoint for this.
    private const string Title = "KantaGateway audit pruning 1", Form = "yyyy-MM-dd'T'HH:mm:ss.fff'Z'";

    /// <summary>The signed note; empty before it is.</summary>
    public string Note { get; private init; } = "";

    /// <summary>Whether twelve full years have gone by. Where the year that it was has a 29 February and this one none, that day's are kept until 1 March.</summary>
    public static bool IsOver(DateTimeOffset recorded, DateTimeOffset now) => recorded <= now.ToUniversalTime().AddYears(-Years);

    /// <exception cref="FormatException">The reason is no line.</exception>
    internal Pruning Sign(NoteSigner signer) =>
        Reason.Length is 0 or > LongestReason || Reason.Any(char.IsControl) ? throw new FormatException("The reason of a pruning is one line.") : this with { Note = SignedNote.Sign(Text, signer) };

    /// <summary>Reads a note that the key has signed and that says what a pruning must.</summary>
    public static bool TryOpen(string note, NoteVerifier log, [NotNullWhen(true)] out Pruning? pruning)
    {
        pruning = null;
        if (!SignedNote.TryOpen(note, log, out var text) || text.Split('\n') is not [Title, var origin, var before, var root, var newest, var at, var reason, ""] || origin != log.Name
            || !long.TryParse(before, NumberStyles.None, CultureInfo.InvariantCulture, out var end) || end == 0 || !TryReadTime(newest, out var last) || !TryReadTime(at, out var done) || !IsOver(last, done))
            return false;
        var hash = new byte[Merkle.HashLength];
        if (!Convert.TryFromBase64String(root, hash, out var length) || length != Merkle.HashLength)
            return false;
        var read = new Pruning(origin, end, hash, last, done, reason) { Note = note };
        if (read.Text != text)
            return false;
        pruning = read;
        return true;
    }

    private string Text => string.Create(CultureInfo.InvariantCulture, $"{Title}\n{Origin}\n{Before}\n{Convert.ToBase64String(Root)}\n{Newest.UtcDateTime.ToString(Form, CultureInfo.InvariantCulture)}\n{At.UtcDateTime.ToString(Form, CultureInfo.InvariantCulture)}\n{Reason}\n");

    private static bool TryReadTime(string text, out DateTimeOffset time) => DateTimeOffset.TryParseExact(text, Form, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out time);
}

/// <summary>Looks from its oldest kept entry on how far the time of a log's entries is over. A row that is not what the tree has signed is neither believed nor passed over.</summary>
sealed class OverdueRows(ILogStore store, PublishedTree published, NoteVerifier log)
{
    private readonly CommittedHashes _hashes = new(published, CommittedHashes.EdgeOf(published, log));

    /// <summary>Reads from one index to another, or to the first row that is kept still.</summary>
    /// <returns>Where it ended, and when the newest was recorded before; null: there was none.</returns>
    /// <exception cref="AuditStoreException">A row is not what the tree has signed.</exception>
    /// <exception cref="AuditUnavailableException">The store cannot be asked.</exception>
    public async Task<(long End, DateTimeOffset? Newest)> ReadAsync(long from, long to, DateTimeOffset now, CancellationToken cancel)
    {
        DateTimeOffset? newest = null;
        foreach (var part in store.PartsOf(from, to))
            foreach (var batch in store.Read(part))
            {
                cancel.ThrowIfCancellationRequested();
                var isCommitted = await _hashes.CompareAsync(batch).ConfigureAwait(false);
                for (var i = 0; i < batch.Count; i++)
                {
                    if (!isCommitted[i] || !SealedRow.HasOwnEnvelope(batch[i]))
                        throw new AuditStoreException($"entry {batch.IndexAt(i)} is not what the tree has signed");
                    var recorded = DateTimeOffset.FromUnixTimeMilliseconds(SealedRow.TimeIn(SealedRow.EnvelopeOf(batch[i])));
                    if (!Pruning.IsOver(recorded, now))
                        return (batch.IndexAt(i), newest);
                    newest = newest > recorded ? newest : recorded;
                }
            }
        return (to, newest);
    }
}
