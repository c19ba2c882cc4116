using System.Text.Json.Nodes;

namespace KantaGateway.Simulators;

/// <summary>How the role register misbehaves.</summary>
public enum RegisterFault { None, Silent, Error, Redirect, Malformed, Duplicated, AnotherPerson, AnotherQuestion, Endless }

/// <summary>The role and attribute register at <c>/register/rights</c>: knows the simulated professionals, and lets in who shows the gateway's certificate.</summary>
/// <param name="clientThumbprint">SHA-256, base64url, of the only certificate that it answers.</param>
public sealed class SimulatedRoleRegister(string clientThumbprint)
{
    public const string Path = "/register";

    private readonly Lock _turn = new();
    private readonly Dictionary<string, string?> _changed = [];

    /// <summary>What it does instead of answering.</summary>
    public RegisterFault Fault { get; set; }

    /// <summary>Questions answered so far, well or badly.</summary>
    public int Asked;

    /// <summary>The right ends, or is another profession's from now on; the professional's own again by null for a profession that is not changed.</summary>
    public void Change(string id, string? profession) { lock (_turn) _changed[id] = profession; }

    /// <summary>All as it was.</summary>
    public void Restore() { lock (_turn) _changed.Clear(); Fault = RegisterFault.None; }

    internal void Map(IEndpointRouteBuilder endpoints, SimulatorOptions options) => endpoints.MapPost(Path + "/rights", async (HttpContext context) =>
    {
        if (context.Connection.ClientCertificate is not { } certificate
            || System.Buffers.Text.Base64Url.EncodeToString(System.Security.Cryptography.SHA256.HashData(certificate.RawData)) != clientThumbprint)
            return Results.StatusCode(StatusCodes.Status403Forbidden);
        Interlocked.Increment(ref Asked);
        var question = (await JsonNode.ParseAsync(context.Request.Body, cancellationToken: context.RequestAborted))!;
        var id = (string)question["professional"]!;
        var own = options.Professionals.FirstOrDefault(p => p.Id == id)?.Profession;
        string? profession;
        lock (_turn)
            if (!_changed.TryGetValue(id, out profession))
                profession = own;
        switch (Fault)
        {
            case RegisterFault.Silent:
                await Task.Delay(Timeout.Infinite, context.RequestAborted).ContinueWith(static _ => { }, TaskScheduler.Default);
                return Results.Empty;
            case RegisterFault.Redirect:
                return Results.Redirect("/elsewhere", preserveMethod: true);
            case RegisterFault.Malformed:
                return Results.Text("{\"professional\":", "application/json");
            case RegisterFault.Duplicated:
                return Results.Text($$"""{"professional":"{{id}}","question":"{{question["question"]}}","valid":false,"valid":true,"profession":"{{profession}}"}""", "application/json");
            case RegisterFault.Endless:
                return Results.Text(new string(' ', 1024 * 1024), "application/json");
        }
        var answer = new JsonObject
        {
            ["professional"] = Fault == RegisterFault.AnotherPerson ? "someone-else" : id,
            ["question"] = Fault == RegisterFault.AnotherQuestion ? "an-old-one" : (string)question["question"]!,
            ["valid"] = profession is not null,
        };
        // A right that has ended was one of some profession.
        if ((profession ?? own) is { } named)
            answer["profession"] = named;
        return Results.Json(answer, statusCode: Fault == RegisterFault.Error ? StatusCodes.Status500InternalServerError : StatusCodes.Status200OK);
    });
}
