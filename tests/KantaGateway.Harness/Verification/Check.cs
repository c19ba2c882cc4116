using System.Text.RegularExpressions;

namespace KantaGateway.Harness.Verification;

/// <summary>One requirement that is checked.</summary>
/// <param name="Id">Stable; the part before the first dot is the suite.</param>
/// <param name="Source">Where the requirement comes from.</param>
/// <param name="Advice">What to change where it is not met.</param>
/// <param name="IsStory">One of the steps that rest on those before them.</param>
public sealed partial record Check(string Id, string Source, string Advice, bool IsStory = false)
{
    private const string Smart = "SMART Backend Services 2.2", Http = "FHIR R4, RESTful API", Act = "Act 703/2023";

    /// <summary>In the order in which suites are carried out and told.</summary>
    public static IReadOnlyList<string> Suites { get; } = ["connection", "smart", "fhir", "search", "adapters", "load", "consent", "portal", "audit"];

    public string Suite => Id[..Id.IndexOf('.', StringComparison.Ordinal)];

    /// <summary>Every check, steps of the story in their order.</summary>
    public static IReadOnlyList<Check> All { get; } =
    [
        new("connection.tls", "BCP 195; Act 703/2023 §8", "Serve TLS 1.2 or 1.3 with a certificate in date, for this host name, from the authority that callers trust."),
        new("connection.plain", "BCP 195", "Let the public port speak TLS alone."),
        new("connection.no-certificate", "RFC 8705 §3", "Refuse a certificate-bound token that comes without its certificate with 401."),
        new("connection.other-certificate", "RFC 8705 §3", "Compare x5t#S256 of the token with the certificate of the connection, at every request."),
        new("connection.token-without-certificate", "Act 703/2023 §8; RFC 8705 §2", "Give no token to a client that does not show its registered certificate."),
        new("connection.stranger-certificate", "Act 703/2023 §8", "Check the chain of a client certificate against the roots of the registration authority, and not that there is one."),
        new("connection.kept", "RFC 9112 §9.3", "Answer a refused request and keep the connection."),

        new("smart.discovery", "SMART App Launch 2.2, conformance; FAPI 2.0 §5.3.2", "Publish what clients need under /.well-known/smart-configuration, and offer nothing weaker than certificate-bound tokens, private_key_jwt and S256."),
        new("smart.token-life", Smart, "Let access tokens live for 300 s at most, for clients of every algorithm."),
        new("smart.no-token", "RFC 6750 §3", "Refuse what has no token with 401 and WWW-Authenticate: Bearer."),
        new("smart.altered-token", "RFC 7515 §5.2", "Verify the signature of every token."),
        new("smart.foreign-token", "RFC 9068 §4", "Take tokens from the own issuer alone."),
        new("smart.subject-token", "RFC 9068 §4", "Take no token that was issued for another audience."),
        new("smart.foreign-professional", "RFC 8693; Act 703/2023 §9", "Exchange a subject token only for a system of the organisation whose identity provider issued it."),
        new("smart.replay", "RFC 7523 §3; FAPI 2.0", "Take each jti of a client assertion once."),
        new("smart.assertion-life", Smart, "Refuse client assertions that live for more than five minutes."),
        new("smart.assertion-audience", "RFC 7523 §3", "Take client assertions for the own token endpoint alone."),
        new("smart.unregistered-key", Smart, "Verify client assertions by registered keys alone."),
        new("smart.app-launch", "SMART App Launch 2.2; RFC 7636; RFC 7009; Act 703/2023 §9", "Give a citizen's app a token for what the citizen allowed and no more, only with the verifier of its own request, and refuse it from the answer on by which the app or the citizen has ended it."),
        new("smart.scope", "RFC 6749 §3.3; Act 703/2023 §9", "Let a token do what its scope says and no more."),

        new("fhir.patient", Http, "Register a Patient with 201 and Location, and create an Encounter of theirs."),
        new("fhir.metadata", Http, "Answer GET metadata with a CapabilityStatement."),
        new("fhir.identity-code-in-url", "Kela: search parameters must not be in the URL; GDPR Art. 32", "Refuse an identity code in an address with 400, name POST _search, and do not repeat the code."),
        new("fhir.xml", Http, "Answer XML where Accept asks for it."),
        new("fhir.html", Http, "Answer 406 where no format can be agreed."),
        new("fhir.text", Http, "Answer 415 to what is no FHIR."),
        new("fhir.correlation", "Kela: X-Request-Id and X-Correlation-Id", "Answer every request with X-Correlation-Id."),
        new("fhir.path", "OWASP ASVS 5.0 V4", "Refuse encoded dots, slashes and backslashes in paths."),
        new("fhir.internal-headers", "OWASP ASVS 5.0 V4", "Drop headers that only the gateway itself may set."),
        new("fhir.life", Http + "; Act 703/2023 §22", "Create, read, update under If-Match, keep every version, and answer 410 after a deletion."),
        new("fhir.batch", Http, "Answer each entry of a batch for itself."),
        new("fhir.transaction", Http, "Resolve references within a transaction to what is stored."),
        new("fhir.foreign-write", "Act 703/2023 §13", "Let nobody change another controller's entries, and let the answer not tell that they are there."),
        new("fhir.directory", "Architecture: directory entries", "Let every clinic read directory entries, and only their writer change them."),
        .. BadInput.Names.Select(name => new Check(InputId(name), Http + ", OperationOutcome", $"Refuse {name}: say where it is wrong and what to change, store nothing of it, and repeat no personal data.")),

        new("search.identity-code", Http + ", _search", "Find a person by identity code in a POST _search."),
        new("search.parameters", Http + ", search", "Evaluate code, category, date, status, identifier, _id and _lastUpdated, the same by GET and POST."),
        new("search.paging", Http + ", paging", "Give every entry on exactly one page, and a total that is their number; let links name no patient."),
        new("search.unknown-parameter", Http + ", search (handling=strict)", "Refuse a parameter that is not known: ignoring it would show more than was asked for."),

        new("adapters.hl7v2", "HL7 v2.5.1 §2.9", "Store an ADT message once, and acknowledge it with AA, also when it comes again."),
        new("adapters.hl7v2-bad", "HL7 v2.5.1 §2.9, ERR", "Answer AE or AR with an ERR segment that names what is wrong, and store nothing."),
        new("adapters.cda-hostile", "OWASP ASVS 5.0 V1 (XML)", "Refuse document types and entities in CDA."),
        new("adapters.table", "Architecture: tables", "Report every row of a dry run, and store none."),
        new("adapters.unidentified", "Act 703/2023 §8", "Identify who sends to an adapter as at any FHIR request."),

        new("load.burst", "Act 703/2023 §10; architecture: many at once", "Answer requests that come at the same time as if each had come alone, each with an entry of its own in the log."),

        Story("consent.ready", "Architecture section 11", "Answer /health/live and /health/ready with 200, and name the token endpoint in the configuration."),
        Story("consent.tokens", Smart, "Give tokens of at most 300 s to clinics and, by exchange, to professionals."),
        Story("consent.sign-in", "Finnish Trust Network OIDC", "Sign a citizen in through the broker, and let declarations be withdrawn."),
        Story("consent.own-visit", Act + " §9", "Let a clinic open a visit of its own."),
        Story("consent.archive", Act + " §21, §69", "Store a visit whole, in one transaction, and give a person one Patient id."),
        Story("consent.own-register", Act + " §54", "Let a clinic read its own register without a permission, as it was sent."),
        Story("consent.hidden", Act + " §54; EHDS Art. 8", "Disclose nothing to others without a permission, and let what is hidden look like what was never there: bytes, status, counts, headers."),
        Story("portal.own-records", "EHDS Art. 3", "Show citizens their own records."),
        Story("consent.permit", Act + " §58, §68", "Take a permission from who has been informed."),
        Story("consent.read", Act + " §54", "Disclose under a permission, to who treats the person."),
        Story("consent.page-link", Http + ", paging", "Let page links lead on, and name no patient."),
        Story("consent.deny-all", Act + " §59", "Take a denial of everything."),
        Story("consent.denied", Act + " §59; EHDS Art. 8", "From the answer to a denial on disclose nothing against it, and let nothing tell of it."),
        Story("consent.old-link", Act + " §59", "Decide anew at every page: an old link gives nothing that is denied now."),
        Story("consent.deny-event", Act + " §59", "Take a denial of one service event."),
        Story("consent.event-hidden", Act + " §59; EHDS Art. 8", "Hide the denied service event with all that belongs to it, and nothing else."),
        Story("consent.withdraw", Act + " §58", "From the answer to a withdrawal on disclose nothing that rested on the permission."),
        Story("audit.access-log", Act + " §11, §74; EHDS Art. 9", "Show citizens at once who received what, why and on what basis: organisations, not employees."),
        Story("portal.addresses", "Kela: search parameters must not be in the URL; GDPR Art. 32", "Put no identity codes and no names into addresses."),

        new("portal.session", "OWASP ASVS 5.0 V7", "Show nothing personal to who has not signed in."),
        new("portal.headers", "OWASP ASVS 5.0 V3", "Send Content-Security-Policy, X-Content-Type-Options, Referrer-Policy and Cache-Control: no-store with every page."),
        new("portal.openapi", "Architecture: the portal's JSON", "Describe the JSON addresses at /openapi/v1.json."),
        new("portal.api-session", "OWASP ASVS 5.0 V7", "Refuse the JSON addresses to who has not signed in."),

        new("audit.receipt-carried", Act + " §10", "Give every answer that gives something a receipt, and no other."),
        new("audit.receipt-proof", "C2SP tlog-proof", "Prove for every receipt that the log has its entry, by the log's key and its witnesses."),
        new("audit.receipt-foreign", Act + " §10", "Answer for somebody else's receipt as for one that was never given."),
        new("audit.checkpoint", "C2SP tlog-checkpoint, tlog-cosignature", "Publish a checkpoint that the log's key and a quorum of witnesses have signed, and that never goes back."),
    ];

    private static readonly Dictionary<string, Check> ById = All.ToDictionary(static c => c.Id);

    /// <exception cref="ArgumentException">There is none of that id.</exception>
    public static Check Of(string id) => ById.GetValueOrDefault(id) ?? throw new ArgumentException($"No check {id}.", nameof(id));

    /// <summary>Id of the check that something is refused.</summary>
    /// <param name="name">Name of the bad input.</param>
    public static string InputId(string name) => "fhir.input-" + NotWord().Replace(name.ToLowerInvariant(), "-").Trim('-');

    private static Check Story(string id, string source, string advice) => new(id, source, advice, IsStory: true);

    [GeneratedRegex("[^a-z0-9]+")]
    private static partial Regex NotWord();
}
