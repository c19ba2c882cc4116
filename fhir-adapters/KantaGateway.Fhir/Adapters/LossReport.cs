namespace KantaGateway.Fhir.Adapters;

/// <summary>What became of one part of what was sent.</summary>
public enum SourceFate
{
    /// <summary>An element of what was made of it says it.</summary>
    Mapped,

    /// <summary>People read it in a narrative; programs do not. The original has it too.</summary>
    Narrative,

    /// <summary>Nothing in what was made of it says it: it is in the original alone, which is kept.</summary>
    Lost,
}

/// <summary>One part of the source that held something.</summary>
/// <param name="Path">Where it stood: <c>PID-3.1</c>, <c>OBX[2]-5</c>, <c>/ClinicalDocument/title</c>, <c>row 7, "Merkintä"</c>, <c>Composition.title</c>. Never what stood there.</param>
/// <param name="Target">Type of the resource, or element of the document, that says it; null where none does.</param>
public sealed record SourcePart(string Path, SourceFate Fate, string? Target = null);

/// <summary>
/// What an adapter made of everything that a document, message or row held. It names places and never values, so it is no personal data.
/// </summary>
/// <param name="Parts">Every place of the source that was not empty, once, in the order of the source.</param>
public sealed record LossReport(IReadOnlyList<SourcePart> Parts)
{
    public static LossReport Empty { get; } = new([]);

    public int Count(SourceFate fate) => Parts.Count(part => part.Fate == fate);

    public IEnumerable<string> Lost => Parts.Where(static part => part.Fate == SourceFate.Lost).Select(static part => part.Path);
}
