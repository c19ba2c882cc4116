using System.Collections.Concurrent;
using KantaGateway.Audit;
using KantaGateway.Audit.Witnessing;

namespace KantaGateway.Client;

/// <summary>The answers that came, with their receipts. Thread-safe.</summary>
/// <param name="kept">Answers that are kept, the newest; 0 keeps all.</param>
public sealed class ReceiptJournal(int kept)
{
    private readonly ConcurrentQueue<ReceivedAnswer> _answers = [];

    /// <summary>Oldest first.</summary>
    public IReadOnlyCollection<ReceivedAnswer> Answers => _answers;

    /// <summary>All receipts, of answers and of the entries of batches.</summary>
    public IEnumerable<ReceivedReceipt> Receipts => _answers.SelectMany(static a => a.Receipts.Concat(a.Entries.SelectMany(static e => e.Receipts)));

    /// <summary>Answers that gave something and have no receipt: the gateway records every disclosure, so something else answered.</summary>
    public IEnumerable<ReceivedAnswer> WithoutReceipt => _answers.SelectMany(static a => a.Entries.Prepend(a)).Where(static a => a is { Gives: true, Receipts.Count: 0 });

    internal void Add(ReceivedAnswer answer)
    {
        _answers.Enqueue(answer);
        while (kept > 0 && _answers.Count > kept)
            _answers.TryDequeue(out _);
    }
}

/// <summary>What a proof is worth for a receipt.</summary>
public static class ReceiptProof
{
    /// <summary>Checks a C2SP tlog-proof against a receipt. Pure.</summary>
    /// <param name="proof">Text of the proof.</param>
    /// <param name="log">Key of the audit log.</param>
    /// <param name="witnesses">Whose cosignatures are needed; null: nobody's.</param>
    /// <returns>Null when it proves that the log has the entry; else what it lacks.</returns>
    public static string? ProblemOf(string proof, ReceivedReceipt receipt, NoteVerifier log, WitnessPolicy? witnesses) =>
        !InclusionProof.TryParse(proof, out var read) ? "it is no proof (C2SP tlog-proof)"
        : read.Index != receipt.Index || read.EntryId != receipt.Entry ? "it is the proof of another entry"
        : !read.IsOf(log) ? "the log's key does not verify it"
        : witnesses is not null && !witnesses.IsMetBy(read.Checkpoint) ? $"only {witnesses.CosignersOf(read.Checkpoint).Count} witnesses have cosigned its checkpoint"
        : null;
}
