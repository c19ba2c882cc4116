using KantaGateway.Fhir.Transport;
using KantaGateway.Gateway;

// Beside the program, wherever it is started from.
var file = Path.Combine(AppContext.BaseDirectory, "appsettings.json");
OptionsCheck.RequirePrivateConfiguration(file, ("Gateway:" + nameof(GatewayOptions.Redis), GatewayOptions.HasPassword));
var configuration = new ConfigurationBuilder().AddJsonFile(file, optional: true).AddEnvironmentVariables("KANTA_").AddCommandLine(args).Build();
var options = configuration.GetSection("Gateway").Get<GatewayOptions>(o => o.ErrorOnUnknownConfiguration = true)
    ?? throw new InvalidOperationException("The section Gateway is missing from the configuration.");
await GatewayHost.Build(options, builder => builder.Logging.AddSimpleConsole()).RunAsync();
