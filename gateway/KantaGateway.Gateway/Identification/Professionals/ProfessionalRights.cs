namespace KantaGateway.Gateway.Identification.Professionals;

/// <summary>What the register says of a professional, and until when that may be relied on.</summary>
/// <param name="Profession">Null: there is no right to practise, or none that is valid now.</param>
/// <param name="Tasks">What the profession may be given at most; meaningless without a profession.</param>
internal sealed record ProfessionalRight(string? Profession, TaskClass Tasks, DateTimeOffset Until)
{
    public bool IsValid => Profession is not null;

    /// <summary>Whether what was issued on a right with this profession and this task still has one.</summary>
    public bool StillGives(string? profession, TaskClass? task) =>
        IsValid && Profession == profession && task is { } given && TaskClasses.Narrow(Tasks, TaskClasses.NameOf(given)) is not null;
}

/// <summary>The register does not answer: nobody is let in on a right that cannot be looked up.</summary>
internal sealed class ProfessionalRightsException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>Who may practise now.</summary>
/// <remarks>A right that has ended is not relied on for longer than <see cref="Bound"/> after the register knows. Thread-safe.</remarks>
internal interface IProfessionalRights
{
    static readonly TimeSpan Bound = TimeSpan.FromSeconds(60);

    /// <summary>What may still be relied on, without asking; null when it has to be asked.</summary>
    ProfessionalRight? Known(string id);

    /// <summary>The same, asking where it has to.</summary>
    /// <exception cref="ProfessionalRightsException">No answer, or none that can be used.</exception>
    ValueTask<ProfessionalRight> AskAsync(string id, CancellationToken cancel);
}
