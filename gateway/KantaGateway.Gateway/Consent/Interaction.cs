using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Consent;

/// <summary>FHIR interactions that reach a compartment (hl7.org/fhir/R4/http.html). A batch is many of them.</summary>
public enum InteractionKind
{
    Read, VRead, History, Search, Create, Update, Patch, Delete, Transaction,

    /// <summary>History of a type, or of everything, in one compartment.</summary>
    HistoryType, HistorySystem,

    /// <summary><c>$everything</c>: all that the scope admits.</summary>
    Everything,

    /// <summary><c>$validate</c>: about nobody, stores and shows nothing.</summary>
    Validate,
}

/// <summary>What one request wants, after step 2: values only.</summary>
public sealed record Interaction
{
    public required InteractionKind Kind { get; init; }

    /// <summary>Resource type; null for a transaction.</summary>
    public string? Type { get; init; }

    /// <summary>The one compartment it concerns.</summary>
    public required Pseudonym Compartment { get; init; }

    /// <summary>Every (type, SMART permission letter of "cruds") the request needs; a transaction has one per entry.</summary>
    public required IReadOnlyList<(string Type, char Letter)> Needs { get; init; }

    /// <summary>For writes: whether directory entries are among what is written.</summary>
    public bool WritesDirectory { get; init; }

    /// <summary>The declaration that a Consent write carries; null when it carries none that the Act knows.</summary>
    public Declaration? Declares { get; init; }

    /// <summary>Why what a Consent write carries is no declaration that the Act knows.</summary>
    public DenyReason Objection { get; init; } = DenyReason.UnknownDeclaration;

    /// <summary>The register that a Communication asks for rectification, or takes such a request back from; null: it is neither.</summary>
    public AskedRegister? Asks { get; init; }

    /// <summary>What kinds of controller the organisation is whose register is being denied: one may have clients of several; empty: it has not joined, or none is named.</summary>
    public IReadOnlyList<ControllerKind> KindsOfDenied { get; init; } = [];

    /// <summary>OID of the employer whose occupational register is meant (X-Employer, §18); null: none named.</summary>
    public string? Employer
    {
        get;
        init => (field, RegisterOfEmployer) = (value, value is null ? null : Register.Occupational(value));
    }

    /// <summary>That register, as <see cref="Register"/> names it, found once for the request.</summary>
    internal string? RegisterOfEmployer { get; private init; }

    /// <summary>For a search, and for a change whose resource criteria choose: the parameters as understood, identity codes left out; what the audit keeps of the question.</summary>
    public string? Query { get; init; }

    /// <summary>By what a search names the person; null where nothing is searched by it.</summary>
    internal Breach.Sought? Sought { get; init; }

    /// <summary>OID of the service event the requester names (X-Service-Event); null: any open one of its organisation.</summary>
    public string? ServiceEvent { get; init; }

    /// <summary>
    /// Whether entries of the directory may be looked at beside the person's record: by a write, whose references are
    /// checked, and by what gathers resources. A read by id shows what it names and nothing else.
    /// </summary>
    public bool ReachesDirectory => !Compartment.IsDirectory && Kind is not (InteractionKind.Read or InteractionKind.VRead or InteractionKind.History or InteractionKind.HistoryType or InteractionKind.HistorySystem);

    /// <summary>
    /// The SMART permission letter that what it shows besides the resource it names must have: <c>s</c> for all that a search
    /// reads (includes, chains, the criteria of a conditional write), else <c>r</c>.
    /// </summary>
    public char ReadsBy => Kind == InteractionKind.Search || IsWrite ? 's' : 'r';

    /// <summary>Whether it may show something that is stored, or act by it: all but a write that looks for nothing and answers with nothing but what it brought.</summary>
    public bool Reads
    {
        get
        {
            var reads = !IsWrite;
            for (var i = 0; i < Needs.Count; i++)
                reads |= Needs[i].Letter is 'r' or 's';
            return reads;
        }
    }

    /// <summary>Whether it is about the one resource that its id names, and about nothing that criteria find.</summary>
    public bool IsById => Query is null && Kind is InteractionKind.Read or InteractionKind.VRead or InteractionKind.History or InteractionKind.Update or InteractionKind.Patch or InteractionKind.Delete;

    public bool IsWrite => Kind is InteractionKind.Create or InteractionKind.Update or InteractionKind.Patch or InteractionKind.Delete or InteractionKind.Transaction;
}
