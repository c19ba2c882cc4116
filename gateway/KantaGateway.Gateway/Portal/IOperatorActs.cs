using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Portal;

/// <summary>What operators decide by two, for their pages: the same acts as under <c>/operator/acts</c>, by the same rules.</summary>
internal interface IOperatorActs
{
    /// <summary>Proposes an act.</summary>
    /// <returns>Whether it says what could be done, and why it was not proposed; null: it is.</returns>
    Task<(bool IsUnderstood, DecisionRefusal? Refusal)> ProposeAsync(HttpContext context, Operator who, ApprovalKind kind, string subject, string content);

    /// <returns>Why it was not decided; null: it is.</returns>
    Task<DecisionRefusal?> ApproveAsync(HttpContext context, Operator who, string id, string digest);

    /// <inheritdoc cref="ApproveAsync"/>
    Task<DecisionRefusal?> RejectAsync(HttpContext context, Operator who, string id, string digest);

    /// <summary>Carries out what was approved. What needs more than the approval, a list of people say, has an address of its own.</summary>
    /// <returns>Why it was not carried out; null: it is.</returns>
    Task<DecisionRefusal?> CarryOutAsync(HttpContext context, Operator who, string id, string digest);

    /// <summary>What the notices of a list would say.</summary>
    /// <returns>Null: it is no list.</returns>
    DraftedNotices? DraftNotices(byte[] list);

    /// <summary>Sends the notices of a list to the persons on it, as two have decided of just that list.</summary>
    Task<SentNotices> SendNoticesAsync(HttpContext context, Operator who, long number, byte[] list);

    /// <summary>How far the replacement of keys is, counted anew.</summary>
    /// <returns>Null: it cannot be told now.</returns>
    Task<KeyProgress?> ProgressAsync(CancellationToken cancel);
}

/// <summary>How far the replacement of keys is.</summary>
/// <param name="DataKeys">The wrapping of all data keys with the newest wrapping key.</param>
/// <param name="People">The naming of people with the newest pseudonym key, and the sealing of their identity codes.</param>
internal sealed record KeyProgress(WorkDone DataKeys, WorkDone People);

/// <summary>How far a piece of work is.</summary>
/// <param name="Version">Of the newest key.</param>
/// <param name="Percent">0 to 100, and 100 only when nothing is left.</param>
/// <param name="PerSecond">What is done in a second; 0: nothing yet.</param>
/// <param name="SecondsLeft">Null: not known.</param>
internal sealed record WorkDone(long Version, long All, long Left, double Percent, double PerSecond, double? SecondsLeft);

/// <summary>What the notices of a case would say.</summary>
/// <param name="Words">In each language.</param>
/// <param name="Persons">How many the list names.</param>
/// <param name="Digest">SHA-256 of the list, hexadecimal: what two decide about.</param>
internal sealed record DraftedNotices(IReadOnlyList<(string Language, string Text)> Words, int Persons, string Digest)
{
    /// <summary>Bytes of a list.</summary>
    public const int LongestList = 4 * 1024 * 1024;
}

/// <summary>What came of sending notices.</summary>
/// <param name="Sent">To how many who had none.</param>
/// <param name="Told">How many were told by e-mail or SMS to sign in.</param>
/// <param name="Refusal">Why nothing was sent; null: that is no reason.</param>
/// <param name="Problem">What is wrong with the list, as the address says it, in English and of nobody; null: nothing.</param>
internal sealed record SentNotices(int Sent, int Told, DecisionRefusal? Refusal = null, (int Status, string Title, string Text)? Problem = null);
