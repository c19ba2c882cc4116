using System.Collections.Frozen;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Unicode;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.IdentityModel.Tokens;
using Org.BouncyCastle.Asn1.X509;

namespace KantaGateway.Gateway.Identification;

/// <summary>A registration with what is computed from it once.</summary>
/// <param name="Organisation">The subscriber.</param>
/// <param name="Requesters">For whom it may ask: those of the registration, or the subscriber alone.</param>
internal sealed record RegisteredClient(
    ClientRegistration Registration, Oid Organisation, IReadOnlyList<RegisteredRequester> Requesters,
    IReadOnlyList<JsonWebKey> Keys, IReadOnlyList<SmartScope> Scopes, IReadOnlyList<X509Name> Subjects)
{
    public string ClientId => Registration.ClientId;
    public bool IsActive => Registration.Status == ClientStatus.Active;
    public bool UsesCertificateAlone => Registration.TokenEndpointAuthMethod == ClientAuthenticationMethod.TlsClientAuth;

    /// <summary>False for apps that prove a key instead.</summary>
    public bool NeedsCertificate => UsesCertificateAlone || Registration is not { Kind: ClientKind.App, DpopBoundAccessTokens: true };

    /// <summary>Null when it may not ask for this organisation now.</summary>
    public RegisteredRequester? RequesterOf(string? organisation) =>
        Requesters.FirstOrDefault(requester => requester.Status == ClientStatus.Active && requester.Organisation.ToString() == organisation);

    /// <summary>Whether it may still have what it asked for: a registration may have become narrower since.</summary>
    public bool Covers(IEnumerable<string> scopes) => scopes.All(text => SmartScope.TryParse(text, out var scope) && Scopes.Any(registered => registered.Covers(scope)));

    /// <summary>Name under which citizens know an app; null for what is none.</summary>
    public string? AppName => Registration.Kind == ClientKind.App ? Registration.ClientName ?? Registration.OrganisationName : null;
}

/// <summary>An organisation for whom a client asks.</summary>
internal sealed record RegisteredRequester(Oid Organisation, string Name, ControllerKind Kind, HealthServices Services, ClientStatus Status);

/// <summary>The onboarded clients as the file had them at one moment, and operators had decided since. Immutable.</summary>
internal sealed class ClientDirectory
{
    private static readonly JsonSerializerOptions Format = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        RespectNullableAnnotations = true,
        AllowTrailingCommas = true,
        ReadCommentHandling = JsonCommentHandling.Skip,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower, allowIntegerValues: false) },
    };

    private static readonly JsonSerializerOptions Readable = new(Format) { WriteIndented = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, Encoder = JavaScriptEncoder.Create(UnicodeRanges.All) };

    private readonly FrozenDictionary<string, RegisteredClient> _clients;
    private readonly ClientRegistration[] _file;
    private readonly bool _isTest;

    private ClientDirectory(IEnumerable<RegisteredClient> clients, ClientRegistration[] file, bool isTest)
    {
        _clients = clients.ToFrozenDictionary(c => c.ClientId, StringComparer.Ordinal);
        _file = file;
        _isTest = isTest;
    }

    /// <summary>Null when there is no such client; a suspended one is found.</summary>
    public RegisteredClient? Find(string clientId) => _clients.GetValueOrDefault(clientId);

    /// <summary>In the order of their ids.</summary>
    public IEnumerable<RegisteredClient> All => _clients.Values.OrderBy(static c => c.ClientId, StringComparer.Ordinal);

    /// <summary>Name of the organisation with this dotted OID; null when no client of it is onboarded.</summary>
    public string? NameOfOrganisation(string oid) =>
        _clients.Values.FirstOrDefault(c => c.Organisation.ToString() == oid)?.Registration.OrganisationName
        ?? _clients.Values.SelectMany(static c => c.Requesters).FirstOrDefault(r => r.Organisation.ToString() == oid)?.Name;

    /// <summary>The public controllers, each once, by name.</summary>
    public IReadOnlyList<(string Oid, string Name)> PublicControllers() =>
        [.. _clients.Values.SelectMany(static c => c.Requesters).Where(r => r.Kind == ControllerKind.Public && r.Status == ClientStatus.Active)
            .Select(r => (r.Organisation.ToString(), r.Name)).DistinctBy(r => r.Item1).OrderBy(r => r.Name, StringComparer.Ordinal)];

    /// <inheritdoc cref="IControllers.KindsOf"/>
    public IReadOnlyList<ControllerKind> KindsOfOrganisation(string oid) =>
        [.. _clients.Values.SelectMany(static c => c.Requesters.Select(static r => (r.Organisation, r.Kind)).Prepend((c.Organisation, c.Registration.ControllerKind)))
            .Where(its => its.Organisation.ToString() == oid).Select(static its => its.Item2).Distinct().Order()];

    /// <inheritdoc cref="IControllers.ServicesOf"/>
    public HealthServices ServicesOf(string oid) =>
        _clients.Values.Where(static c => c.Registration.Kind != ClientKind.App).SelectMany(static c => c.Requesters).Where(its => its.Organisation.ToString() == oid).Aggregate(HealthServices.None, static (all, its) => all | its.Services) is var all and not HealthServices.None
            ? all : HealthServices.Reception;

    /// <param name="isTest">Whether any OID will do for an organisation: made-up ones have no check digit. Otherwise the SOTE register's form is demanded.</param>
    /// <param name="decisions">What operators have decided: their word goes before the file's, but what either suspends, or they contain, is suspended.</param>
    /// <exception cref="InvalidDataException">The text is not a valid clients file; the message lists every error.</exception>
    public static ClientDirectory Read(ReadOnlySpan<byte> json, bool isTest, DecisionState? decisions = null)
    {
        ClientRegistration[] registrations;
        try
        {
            registrations = JsonSerializer.Deserialize<ClientRegistration[]>(json, Format) ?? [];
        }
        catch (JsonException wrong)
        {
            throw new InvalidDataException($"The clients file is not valid: {wrong.Message}", wrong);
        }
        return Combine(registrations, isTest, decisions);
    }

    /// <summary>The same file under other decisions.</summary>
    /// <exception cref="InvalidDataException">One of the decisions cannot be used.</exception>
    public ClientDirectory Under(DecisionState decisions) => Combine(_file, _isTest, decisions);

    /// <summary>The same registrations, with those suspended that decisions suspend. Always possible.</summary>
    /// <returns>The same instance when that changes nothing.</returns>
    public ClientDirectory Suspending(DecisionState decisions)
    {
        bool IsHit(RegisteredClient client) => client.IsActive && (decisions.Clients.GetValueOrDefault(client.ClientId) is { IsSuspended: true } || IsOut(decisions, client.ClientId)
            || IsContained(decisions, client.Organisation.ToString()) || client.Requesters.Any(one => one.Status == ClientStatus.Active && IsContained(decisions, one.Organisation.ToString())));
        // Where one of several organisations is out, the client is, until the file can be read with the decisions.
        return _clients.Values.Any(IsHit)
            ? new(_clients.Values.Select(client => IsHit(client) ? client with { Registration = client.Registration with { Status = ClientStatus.Suspended } } : client), _file, _isTest)
            : this;
    }

    private static ClientDirectory Combine(ClientRegistration[] registrations, bool isTest, DecisionState? decisions)
    {
        var faults = new List<RegistrationFault>();
        var clients = Overlay(registrations, decisions).Select(registration => Read(registration, isTest, faults)).ToArray();
        var errors = faults.Select(static fault => fault.ToString()).ToList();
        errors.AddRange(registrations.GroupBy(r => r.ClientId).Where(g => g.Count() > 1).Select(g => $"{g.Key}: client_id occurs more than once"));
        if (errors.Count > 0)
            throw new InvalidDataException("The clients file is not valid: " + string.Join("; ", errors));
        return new(clients, registrations, isTest);
    }

    private static IEnumerable<ClientRegistration> Overlay(ClientRegistration[] file, DecisionState? state)
    {
        if (state is null)
            return file;
        var decisions = state.Clients;
        var inFile = file.ToLookup(static one => one.ClientId, StringComparer.Ordinal);
        var registrations = file.Where(one => decisions.GetValueOrDefault(one.ClientId)?.Registration is null)
            .Concat(decisions.Values.Where(static one => one.Registration is not null).Select(one => ReadDecided(one.Registration!)).Select(one => inFile[one.ClientId].Aggregate(one, Restrain)));
        return registrations.Select(one => Contain(state, decisions.GetValueOrDefault(one.ClientId) is { IsSuspended: true } ? one with { Status = ClientStatus.Suspended } : one));
    }

    // A registration may state the urn form of an OID, and that is the same organisation. One that states none is refused beside.
    private static bool IsContained(DecisionState decisions, string organisation) => decisions.Contained.Count > 0 && Oid.TryParse(organisation, out var oid)
        && ContainedSubject.OrganisationsOf(oid).Any(one => decisions.Contained.ContainsKey(one.Text));

    private static bool IsOut(DecisionState decisions, string clientId) => decisions.Contained.Count > 0 && decisions.Contained.ContainsKey(ContainedSubject.Client(clientId).Text);

    /// <summary>A contained client is out; a contained organisation with its own systems, and as one for whom others ask.</summary>
    private static ClientRegistration Contain(DecisionState decisions, ClientRegistration one) => decisions.Contained.Count == 0 ? one : one with
    {
        Status = IsOut(decisions, one.ClientId) || IsContained(decisions, one.OrganisationOid) ? ClientStatus.Suspended : one.Status,
        ServiceRequesters = one.ServiceRequesters?.Select(its => IsContained(decisions, its.OrganisationOid) ? its with { Status = ClientStatus.Suspended } : its).ToArray(),
    };

    private static ClientRegistration ReadDecided(string json)
    {
        try
        {
            return JsonSerializer.Deserialize<ClientRegistration>(json, Format) ?? throw new InvalidDataException("A decided registration is null.");
        }
        catch (JsonException wrong)
        {
            throw new InvalidDataException($"A decided registration is not valid: {wrong.Message}", wrong);
        }
    }

    /// <summary>What the file says in an emergency holds for a client that operators have decided about too: it, or an organisation of it, is out.</summary>
    private static ClientRegistration Restrain(ClientRegistration decided, ClientRegistration inFile)
    {
        bool IsOut(ServiceRequester requester) => inFile.ServiceRequesters?.Any(one => one.Status == ClientStatus.Suspended && one.OrganisationOid == requester.OrganisationOid) is true;
        return decided with
        {
            Status = inFile.Status == ClientStatus.Suspended ? ClientStatus.Suspended : decided.Status,
            ServiceRequesters = decided.ServiceRequesters?.Select(one => IsOut(one) ? one with { Status = ClientStatus.Suspended } : one).ToArray(),
        };
    }

    /// <summary>Reads one registration.</summary>
    /// <returns>The registration, or everything that is wrong with it.</returns>
    public static (ClientRegistration? Registration, IReadOnlyList<RegistrationFault> Faults) ReadOne(ReadOnlySpan<byte> json, bool isTest)
    {
        ClientRegistration? registration;
        try
        {
            registration = JsonSerializer.Deserialize<ClientRegistration>(json, Format);
        }
        catch (JsonException wrong)
        {
            return (null, [new("", wrong.Path?.Split('.', '[') is [_, var member, ..] ? member : "", RegistrationRule.Json, wrong.Message)]);
        }
        if (registration is null)
            return (null, [new("", "", RegistrationRule.Json, "The registration is null.")]);
        var faults = new List<RegistrationFault>();
        Read(registration, isTest, faults);
        return faults.Count == 0 ? (registration, faults) : (null, faults);
    }

    /// <summary>One registration as <see cref="ReadOne"/> takes it, always with the same bytes.</summary>
    public static string WriteOne(ClientRegistration registration) => JsonSerializer.Serialize(registration, Format);

    /// <summary>One registration for people to read: without what is not stated.</summary>
    public static string Present(ClientRegistration registration) => JsonSerializer.Serialize(registration, Readable);

    private static bool IsRedirect(string text) =>
        Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme == Uri.UriSchemeHttps && uri.UserInfo.Length == 0 && !text.Contains('#') && text.All(char.IsAscii);

    /// <summary>Writes a clients file that <see cref="Read(ReadOnlySpan{byte}, bool, DecisionState)"/> accepts.</summary>
    public static byte[] Write(IEnumerable<ClientRegistration> registrations) =>
        JsonSerializer.SerializeToUtf8Bytes(registrations, new JsonSerializerOptions(Format) { WriteIndented = true });

    private static RegisteredClient Read(ClientRegistration registration, bool isTest, List<RegistrationFault> faults)
    {
        void Wrong(string member, RegistrationRule rule, string what) => faults.Add(new(registration.ClientId, member, rule, what));

        if (registration.ClientId is not { Length: > 0 and <= 128 })
            Wrong("client_id", RegistrationRule.ClientId, "client_id must have 1 to 128 characters");
        if (registration.ClientId.Any(static c => !char.IsAsciiLetterOrDigit(c) && c is not ('.' or '_' or '-')))
            Wrong("client_id", RegistrationRule.ClientId, "client_id must be of ASCII letters, digits, '.', '_' and '-'");
        if (registration.ClientId == PortalSessions.ClientId)
            Wrong("client_id", RegistrationRule.ReservedClientId, "client_id is the portal's own");
        // The log calls callers so that have no registration.
        if (registration.ClientId is "operator" or "unknown")
            Wrong("client_id", RegistrationRule.ReservedClientId, "client_id is a name of the audit log's own");
        Oid ReadOrganisation(string text, string member)
        {
            if (!Oid.TryParse(text, out var oid))
                Wrong(member, RegistrationRule.Organisation, "organisation_oid is not an OID");
            else if (!isTest && !SoteOid.IsOne(oid))
                Wrong(member, RegistrationRule.SoteOrganisation, "organisation_oid has not the form of the SOTE register: 1.2.246.10. and a business id, or a unit .10.n of it");
            return oid;
        }
        HealthServices ServicesOf(IReadOnlyList<int> points, string member)
        {
            if (HealthServicePoints.AreValid(points))
                return HealthServicePoints.Of(points);
            Wrong(member, RegistrationRule.HealthServices, "health_services are points of the decree 457/2024 §4, 1 to 14, each once");
            return HealthServices.None;
        }
        var organisation = ReadOrganisation(registration.OrganisationOid, "organisation_oid");
        if (registration.OrganisationName is not { Length: > 0 and <= 256 })
            Wrong("organisation_name", RegistrationRule.Name, "organisation_name must have 1 to 256 characters");
        var requesters = registration.ServiceRequesters is { } given
            ? given.Select(one => new RegisteredRequester(ReadOrganisation(one.OrganisationOid, "service_requesters"), one.OrganisationName, one.ControllerKind, ServicesOf(one.HealthServices, "service_requesters"), one.Status)).ToArray()
            : [new(organisation, registration.OrganisationName, registration.ControllerKind, ServicesOf(registration.HealthServices, "health_services"), ClientStatus.Active)];
        if (requesters.Length == 0 || requesters.DistinctBy(static one => one.Organisation).Count() != requesters.Length)
            Wrong("service_requesters", RegistrationRule.Requesters, "service_requesters must name one organisation or more, each once; without them the client asks for its own");
        var buyers = registration.ProducesFor.Select(oid => ReadOrganisation(oid, "produces_for")).ToList();
        if (buyers.Contains(organisation) || buyers.Distinct().Count() != buyers.Count || (buyers.Count > 0 && (registration.ServiceRequesters is not null || registration.Kind == ClientKind.App)))
            Wrong("produces_for", RegistrationRule.Buyers, "produces_for names other organisations, each once, and goes neither with service_requesters nor with kind app");
        if (registration.HealthServices.Count > 0 && (registration.ServiceRequesters is not null || registration.Kind == ClientKind.App))
            Wrong("health_services", RegistrationRule.HealthServicesOfTenants, "health_services go neither with kind app nor with service_requesters, each of which states its own");
        if (registration.SystemName is { Length: 0 or > 128 })
            Wrong("system_name", RegistrationRule.System, "system_name must have 1 to 128 characters");
        if (registration.SystemVersion is { Length: 0 or > 64 })
            Wrong("system_version", RegistrationRule.System, "system_version must have 1 to 64 characters");

        string[] allowed = registration.Profile == ClientProfile.Fapi2 ? ["ES256", "PS256"] : [.. ClientAuthentication.Algorithms];
        if (registration.Algorithms.Except(allowed).Any() || registration.Algorithms.Count == 0)
            Wrong("token_endpoint_auth_signing_alg", RegistrationRule.Algorithms, $"token_endpoint_auth_signing_alg must be one or more of {string.Join(", ", allowed)}");

        var keys = new List<JsonWebKey>();
        foreach (var json in registration.Jwks?.Keys ?? [])
            if (RegisteredKey.Read(json, registration.Algorithms, out var key) is { } problem)
                Wrong("jwks", RegistrationRule.Key, problem);
            else if (keys.Any(other => other.Kid == key!.Kid))
                Wrong("jwks", RegistrationRule.RepeatedKey, "a kid occurs more than once in jwks");
            else
                keys.Add(key!);
        if (registration.JwksUri is { } address && !(Uri.TryCreate(address, UriKind.Absolute, out var uri) && uri.Scheme == Uri.UriSchemeHttps && uri.UserInfo.Length == 0))
            Wrong("jwks_uri", RegistrationRule.KeysAddress, "jwks_uri must be an https address");

        var subjects = new List<X509Name>();
        foreach (var text in registration.CertificateSubjects)
            try
            {
                subjects.Add(new X509Name(true, text));
            }
            catch (Exception malformed) when (malformed is ArgumentException or FormatException or IndexOutOfRangeException)
            {
                Wrong("certificate_subjects", RegistrationRule.CertificateSubject, "one of certificate_subjects is not a distinguished name (RFC 4514)");
            }

        if (registration.TokenEndpointAuthMethod == ClientAuthenticationMethod.TlsClientAuth)
        {
            // RFC 8705 §2.1.2: which certificate it is, is what authenticates.
            if (registration.TlsClientCertificates.Count == 0 && subjects.Count == 0)
                Wrong("tls_client_certificates", RegistrationRule.CertificateNeeded, "tls_client_auth needs tls_client_certificates or certificate_subjects");
            if (registration is not { Jwks: null, JwksUri: null })
                Wrong("jwks_uri", RegistrationRule.KeysBesideCertificate, "tls_client_auth goes without jwks and jwks_uri");
        }
        else if (registration.Jwks is null == registration.JwksUri is null)
            Wrong("jwks_uri", RegistrationRule.KeysOrAddress, "one of jwks and jwks_uri is needed, and not both");
        else if (registration.Jwks is not null && keys.Count == 0)
            Wrong("jwks", RegistrationRule.NoKey, "jwks has no key that can be used");

        if (registration.Mllp && registration.TlsClientCertificates.Count == 0 && subjects.Count == 0)
            Wrong("tls_client_certificates", RegistrationRule.CertificateNeeded, "mllp needs tls_client_certificates or certificate_subjects");

        var scopes = new List<SmartScope>();
        foreach (var text in registration.Scopes)
            if (SmartScope.TryParse(text, out var scope, out var query))
                scopes.Add(scope);
            else if (query is not null)
                Wrong("scopes", RegistrationRule.Scope, $"the search parameters of a scope cannot be used: {query}");
            else if (registration.Kind == ClientKind.System || !IdTokens.Scopes.Concat(AppGrants.Scopes).Contains(text))
                Wrong("scopes", RegistrationRule.Scope, "a scope is not a SMART v2 scope");
        if (IdTokens.Explain(registration.Scopes) is { } identity)
            Wrong("scopes", RegistrationRule.IdentityScopes, identity);
        if (!IdTokens.Algorithms.Contains(registration.IdTokenSignedResponseAlg))
            Wrong("id_token_signed_response_alg", RegistrationRule.IdTokenAlgorithm, $"id_token_signed_response_alg must be one of {string.Join(", ", IdTokens.Algorithms)}");
        if (registration.Kind != ClientKind.System && (registration.RedirectUris.Count == 0 || !registration.RedirectUris.All(IsRedirect)))
            Wrong("redirect_uris", RegistrationRule.Redirects, "redirect_uris of an app must be https addresses without user and fragment, one at least");
        if (registration.Kind == ClientKind.App)
        {
            // What a person declares is declared by the person, so an app reads.
            if (scopes.Any(scope => scope.Level != SmartScope.Patient || scope.Permissions.AsSpan().ContainsAnyExcept("rs")))
                Wrong("scopes", RegistrationRule.AppScopes, "an app has patient/ scopes of the letters r and s only");
            if (registration.ServiceRequesters is not null)
                Wrong("service_requesters", RegistrationRule.AppRequesters, "an app asks for the citizen, and has no service_requesters");
        }
        else if (scopes.Any(scope => scope.Level == SmartScope.Patient))
            Wrong("scopes", RegistrationRule.PatientScopes, "patient/ scopes are for kind app");
        if (registration.Kind == ClientKind.System && registration.RedirectUris.Count > 0)
            Wrong("redirect_uris", RegistrationRule.SystemRedirects, "redirect_uris are for kind app and kind clinic_app");
        // Without its professional it is nobody.
        if (registration.Kind == ClientKind.ClinicApp && (scopes.Any(scope => scope.Level != SmartScope.User) || registration.Scopes.Contains(AppGrants.OfflineAccess)))
            Wrong("scopes", RegistrationRule.ClinicAppScopes, "a clinic's app has user/ scopes only, and not offline_access");
        if (registration.Kind != ClientKind.ClinicApp && registration.ProfessionalIssuer is not null)
            Wrong("professional_issuer", RegistrationRule.IssuerOfClinicApps, "professional_issuer is for kind clinic_app");
        return new(registration, organisation, requesters, keys, scopes, subjects);
    }
}

/// <summary>Holds the current <see cref="ClientDirectory"/> and re-reads file and decisions within a second of their change.</summary>
/// <remarks>
/// Thread-safe. A file that turns invalid leaves the last valid one in force and says so in the log each time it is looked at. Decisions are in
/// force all the same, and of decisions that cannot be used, the suspensions.
/// </remarks>
/// <param name="isTest">As <see cref="ClientDirectory.Read(ReadOnlySpan{byte}, bool, DecisionState)"/> has it.</param>
/// <param name="approvals">What operators have decided; null: there are none.</param>
internal sealed partial class ClientRegistry(string file, bool isTest, TimeProvider time, ILogger<ClientRegistry> logger, Approvals? approvals = null) : IControllers
{
    private static readonly long LookEvery = TimeSpan.TicksPerSecond / 2;

    private static readonly Fault Unknown = new(FaultKind.IdentificationUnavailable, "Which clients are suspended is not known at the moment. Try again.");

    private readonly Lock _reading = new();
    private volatile DecisionState? _decisions = approvals?.Current;
    private volatile DecisionState? _lookedFor = approvals?.Current;
    private volatile ClientDirectory _current = ClientDirectory.Read(File.ReadAllBytes(file), isTest, approvals?.Current);
    private DateTime _written = File.GetLastWriteTimeUtc(file);
    private long _lookedAt = time.GetUtcNow().Ticks;

    /// <inheritdoc />
    public IReadOnlyList<ControllerKind> KindsOf(string oid) => Current.KindsOfOrganisation(oid);

    /// <inheritdoc />
    public HealthServices ServicesOf(string oid) => Current.ServicesOf(oid);

    /// <summary>The directory now. The instance changes exactly when the file or a decision has: what was derived from another instance is stale.</summary>
    /// <exception cref="FaultException">What operators have decided has been unknown for too long (<see cref="Approvals.IsCurrent"/>).</exception>
    public ClientDirectory Current
    {
        get
        {
            var looked = Volatile.Read(ref _lookedAt);
            var now = time.GetUtcNow().Ticks;
            var decisions = approvals?.Current;
            if (approvals is { IsCurrent: false })
                throw new FaultException(Unknown);
            // A clock that was set back makes the difference negative, and that is no reason not to look.
            if (((ulong)(now - looked) >= (ulong)LookEvery && Interlocked.CompareExchange(ref _lookedAt, now, looked) == looked) || !ReferenceEquals(decisions, _lookedFor))
                Look();
            return _current;
        }
    }

    /// <summary>The app of a pushed request, where what it asks for is still registered: a registration may have changed since. Null otherwise.</summary>
    public RegisteredClient? AppOf(PushedRequest request) =>
        Current.Find(request.ClientId) is { IsActive: true } app && app.Registration.RedirectUris.Contains(request.RedirectUri, StringComparer.Ordinal) && app.Covers(request.Scopes) && request.Identity.All(app.Registration.Scopes.Contains)
            && (request.Access is null || app.Registration.Scopes.Contains(request.Access))
            && (app.Registration.Kind == ClientKind.ClinicApp) == (request.Organisation is not null) && (request.Organisation is null || app.RequesterOf(request.Organisation) is not null)
            ? app : null;

    private void Look()
    {
        lock (_reading)
        {
            var decisions = _lookedFor = approvals?.Current;
            try
            {
                var written = File.GetLastWriteTimeUtc(file);
                if (written == _written && ReferenceEquals(decisions, _decisions))
                    return;
                _current = ClientDirectory.Read(File.ReadAllBytes(file), isTest, decisions);
                _written = written;
                _decisions = decisions;
                LogReloaded();
            }
            catch (Exception failure) when (failure is IOException or InvalidDataException or UnauthorizedAccessException)
            {
                LogInvalid(failure.Message);
                if (!ReferenceEquals(decisions, _decisions))
                    DecideWithoutFile(decisions!);
            }
        }
    }

    /// <summary>Whoever suspended a client was told that it is out, whatever has become of the file.</summary>
    private void DecideWithoutFile(DecisionState decisions)
    {
        try
        {
            _current = _current.Under(decisions);
            _decisions = decisions;
        }
        catch (InvalidDataException)
        {
            _current = _current.Suspending(decisions);
        }
    }

    [LoggerMessage(1101, LogLevel.Information, "The clients file has changed, or operators have decided; the new registrations are in force.")]
    private partial void LogReloaded();

    [LoggerMessage(1102, LogLevel.Critical, "The clients file and the decisions cannot be used together, so the registrations read before stay in force; suspensions hold. {Problem}")]
    private partial void LogInvalid(string problem);
}
