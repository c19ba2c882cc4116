namespace KantaGateway.Fhir.Outcomes;

/// <summary>Every way in which a request can end other than by success. <see cref="FaultTable"/> gives each its status.</summary>
public enum FaultKind
{
    NotIdentified, Denied, Frozen, Absent, Deleted, Invalid, Unprocessable, NotSupported, MethodNotAllowed, NotAcceptable, UnsupportedMediaType,
    TooLarge, TooMany, RangeNotSatisfiable, VersionConflict, PreconditionRequired, Duplicate,
    AuditUnavailable, KeyUnavailable, StoreUnavailable, IdentificationUnavailable, Busy, UpstreamFailed, UpstreamTimeout, Unexpected,
}

/// <summary>One thing that is wrong and what to do about it.</summary>
/// <param name="Diagnostics">A plain sentence for a vendor's engineer. Never personal data, never a hint of hidden data.</param>
/// <param name="Expression">FHIRPath of the element at fault, such as <c>Observation.subject</c>, or <c>Bundle.entry[3].resource.subject</c>.</param>
/// <param name="Code">FHIR issue-type code; null takes the one of the fault's kind.</param>
public sealed record FaultIssue(string Diagnostics, string? Expression = null, string? Code = null)
{
    /// <summary>Only an error refuses; the others stand in outcomes that tell of what was accepted.</summary>
    public FaultSeverity Severity { get; init; }

    /// <summary>Key of a sentence of its own among <c>messages</c> in <c>outcome-texts.json</c>; null takes that of the code or kind.</summary>
    public string? Message { get; init; }
}

/// <summary>hl7.org/fhir/R4/valueset-issue-severity.html without <c>fatal</c>.</summary>
public enum FaultSeverity { Error = 0, Warning = 1, Information = 2 }

/// <summary>An expected refusal, as a value.</summary>
public sealed record Fault(FaultKind Kind, params IReadOnlyList<FaultIssue> Issues)
{
    /// <summary>The one answer for what is absent, hidden or somebody else's (law 4); every part gives this one.</summary>
    public static Fault Absent { get; } = new(FaultKind.Absent, "There is no such resource, or none that this request may see.");

    /// <summary>
    /// The one answer to an update of what is absent, hidden or somebody else's: the server gives the ids (http.html#upsert).
    /// </summary>
    public static Fault NoUpdateAsCreate { get; } = new(FaultKind.MethodNotAllowed,
        new FaultIssue("There is no such resource, or none that this request may see, and a client does not choose ids here: send a new resource to POST [Type].") { Message = "ids-are-given" });

    /// <summary>The one answer to an update that does not say which version it was made on, whether or not there is a resource.</summary>
    public static Fault NoIfMatch { get; } = new(FaultKind.PreconditionRequired,
        new FaultIssue("An update needs If-Match with the version that was read, such as W/\"…\", so that nobody's change is lost. A new resource goes to POST [Type].") { Message = "no-version" });

    /// <summary>Of <see cref="FaultKind.TooMany"/>: when it may be tried again, in whole seconds; null: it is not known.</summary>
    public TimeSpan? RetryAfter { get; init; }

    public Fault(FaultKind kind, string diagnostics, string? expression = null) : this(kind, new FaultIssue(diagnostics, expression)) { }

    /// <summary>The one answer when as many people as may be have been opened within a time (law 5); every part gives this one.</summary>
    /// <param name="retryAfter">Until the key service opens somebody new.</param>
    public static Fault BudgetUsedUp(TimeSpan? retryAfter) => new(FaultKind.TooMany,
        "As many people's records as may be have been opened in this time. Records of people who were opened before stay open to you; for others wait as long as Retry-After says, and tell the operator of this service if your work needs more.") { RetryAfter = retryAfter };

    /// <summary>The one answer when what is stored of a record is not as it was written.</summary>
    public static Fault StoreChanged { get; } = new(FaultKind.Unexpected,
        "What is stored of this record is not as it was written, so nothing of it is given out or added. The operators have been called; sending the request again does not help. Give them the id of this outcome.");

    /// <summary>The one answer to who would begin a record under an id that is nobody's, as one is that was kept from before a restore.</summary>
    public static Fault Nobody { get; } = new(FaultKind.Unprocessable, "This Patient id is nobody's any more, so no record is begun under it: find the person by the identity code (POST Patient/_search, or register them with POST Patient), and use the id that is answered. Nothing was stored.");

    /// <summary>The one answer to who would begin a record again that was destroyed: its key is not made anew.</summary>
    public static Fault Erased { get; } = new(FaultKind.Deleted, "This person's record has been destroyed, as the law has it when it is kept no longer (Act 703/2023 §24), and is not begun again. Nothing was stored.");
}

/// <summary>Carries a <see cref="Fault"/> out of deep code to the one writer at the edge of a part.</summary>
public sealed class FaultException(Fault fault) : Exception(fault.Kind.ToString())
{
    public Fault Fault { get; } = fault;
}
