using System.Collections.Frozen;
using System.Text.Json;
using System.Text.Json.Serialization;
using KantaGateway.Fhir.Identifiers;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Gateway.Identification;

/// <summary>A registration with what is computed from it once.</summary>
internal sealed record RegisteredClient(ClientRegistration Registration, Oid Organisation, IReadOnlyList<JsonWebKey> Keys, IReadOnlyList<SmartScope> Scopes)
{
    public string ClientId => Registration.ClientId;
    public bool IsActive => Registration.Status == ClientStatus.Active;
}

/// <summary>The onboarded clients as the file had them at one moment. Immutable.</summary>
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

    private readonly FrozenDictionary<string, RegisteredClient> _clients;

    private ClientDirectory(FrozenDictionary<string, RegisteredClient> clients) => _clients = clients;

    /// <summary>Null when there is no such client; a suspended one is found.</summary>
    public RegisteredClient? Find(string clientId) => _clients.GetValueOrDefault(clientId);

    /// <summary>Name of the organisation with this dotted OID; null when no client of it is onboarded.</summary>
    public string? NameOfOrganisation(string oid) =>
        _clients.Values.FirstOrDefault(c => c.Organisation.ToString() == oid)?.Registration.OrganisationName;

    /// <exception cref="InvalidDataException">The text is not a valid clients file; the message lists every error.</exception>
    public static ClientDirectory Read(ReadOnlySpan<byte> json)
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
        var errors = new List<string>();
        var clients = registrations.Select(registration => Read(registration, errors)).ToArray();
        errors.AddRange(registrations.GroupBy(r => r.ClientId).Where(g => g.Count() > 1).Select(g => $"{g.Key}: client_id occurs more than once"));
        if (errors.Count > 0)
            throw new InvalidDataException("The clients file is not valid: " + string.Join("; ", errors));
        return new(clients.ToFrozenDictionary(c => c.ClientId, StringComparer.Ordinal));
    }

    private static bool IsRedirect(string text) =>
        Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme == Uri.UriSchemeHttps && uri.UserInfo.Length == 0 && !text.Contains('#') && text.All(char.IsAscii);

    /// <summary>Writes a clients file that <see cref="Read(ReadOnlySpan{byte})"/> accepts.</summary>
    public static byte[] Write(IEnumerable<ClientRegistration> registrations) =>
        JsonSerializer.SerializeToUtf8Bytes(registrations, new JsonSerializerOptions(Format) { WriteIndented = true });

    private static RegisteredClient Read(ClientRegistration registration, List<string> errors)
    {
        void Wrong(string what) => errors.Add($"{registration.ClientId}: {what}");

        if (registration.ClientId is not { Length: > 0 and <= 128 })
            Wrong("client_id must have 1 to 128 characters");
        if (!Oid.TryParse(registration.OrganisationOid, out var organisation))
            Wrong("organisation_oid is not an OID");
        if (registration.TokenEndpointAuthSigningAlg.Except(ClientAuthentication.Algorithms).Any() || registration.TokenEndpointAuthSigningAlg.Count == 0)
            Wrong("token_endpoint_auth_signing_alg must be ES384, RS384 or both");

        var keys = new List<JsonWebKey>();
        foreach (var json in registration.Jwks.Keys)
        {
            var key = new JsonWebKey(json.GetRawText());
            if (string.IsNullOrEmpty(key.Kid))
                Wrong("a key in jwks has no kid");
            if (key.HasPrivateKey)
                Wrong("jwks holds a private key; register public keys only");
            if (key is not ({ Kty: "EC", Crv: "P-384" } or { Kty: "RSA", KeySize: >= 2048 }))
                Wrong("a key in jwks is neither EC P-384 nor RSA of 2048 bits or more");
            keys.Add(key);
        }
        if (keys.Count == 0)
            Wrong("jwks has no key");

        var scopes = new List<SmartScope>();
        foreach (var text in registration.Scopes)
            if (SmartScope.TryParse(text, out var scope))
                scopes.Add(scope);
            else
                Wrong("a scope is not a SMART v2 scope");
        if (registration.Kind == ClientKind.App)
        {
            // What a person declares is declared by the person, so an app reads.
            if (scopes.Any(scope => scope.Level != SmartScope.Patient || scope.Permissions.AsSpan().ContainsAnyExcept("rs")))
                Wrong("an app has patient/ scopes of the letters r and s only");
            if (registration.RedirectUris.Count == 0 || !registration.RedirectUris.All(IsRedirect))
                Wrong("redirect_uris of an app must be https addresses without user and fragment, one at least");
        }
        else if (registration.RedirectUris.Count > 0 || scopes.Any(scope => scope.Level == SmartScope.Patient))
            Wrong("redirect_uris and patient/ scopes are for kind app");
        return new(registration, organisation, keys, scopes);
    }
}

/// <summary>Holds the current <see cref="ClientDirectory"/> and re-reads the file within a second of its change.</summary>
/// <remarks>Thread-safe. A file that turns invalid leaves the last valid one in force and says so in the log each time it is looked at.</remarks>
internal sealed partial class ClientRegistry(string file, TimeProvider time, ILogger<ClientRegistry> logger)
{
    private static readonly long LookEvery = TimeSpan.TicksPerSecond;

    private readonly Lock _reading = new();
    private volatile ClientDirectory _current = ClientDirectory.Read(File.ReadAllBytes(file));
    private DateTime _written = File.GetLastWriteTimeUtc(file);
    private long _lookedAt = time.GetUtcNow().Ticks;

    /// <summary>The directory now. The instance changes exactly when the file has: what was derived from another instance is stale.</summary>
    public ClientDirectory Current
    {
        get
        {
            var looked = Volatile.Read(ref _lookedAt);
            var now = time.GetUtcNow().Ticks;
            if (now - looked >= LookEvery && Interlocked.CompareExchange(ref _lookedAt, now, looked) == looked)
                Look();
            return _current;
        }
    }

    private void Look()
    {
        lock (_reading)
            try
            {
                var written = File.GetLastWriteTimeUtc(file);
                if (written == _written)
                    return;
                _current = ClientDirectory.Read(File.ReadAllBytes(file));
                _written = written;
                LogReloaded();
            }
            catch (Exception failure) when (failure is IOException or InvalidDataException or UnauthorizedAccessException)
            {
                LogInvalid(failure.Message);
            }
    }

    [LoggerMessage(1101, LogLevel.Information, "The clients file has changed; the new registrations are in force.")]
    private partial void LogReloaded();

    [LoggerMessage(1102, LogLevel.Critical, "The clients file cannot be used, so the registrations read before stay in force. {Problem}")]
    private partial void LogInvalid(string problem);
}
